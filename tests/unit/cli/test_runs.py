"""What the run commands make of names and of a run's fields."""

import re

import httpx
import pytest

from landloom.cli.client import ApiClient
from landloom.cli.connection import Connection
from landloom.cli.follow import failure
from landloom.cli.runs import _name_for, _seconds
from landloom.cli.upload import upload_script
from landloom.errors import SetupProblem, Unavailable


@pytest.mark.parametrize(
    "script", ["a.py", "/x/My job (2).py", "s3://bucket/folder/job.py", ".py", "ü" * 300 + ".py"]
)
def test_every_script_gives_a_name_that_the_api_takes(script):
    name = _name_for(script)
    assert re.fullmatch(r"[a-zA-Z0-9_\-.]{8,255}", name)


def test_seconds_are_those_between_start_and_end():
    run = {"startTime": "2026-01-01T00:00:00.500Z", "completeTime": "2026-01-01T00:01:00Z"}
    assert _seconds(run) == "59.5"
    assert _seconds({"startTime": None, "completeTime": None}) == ""


def test_a_failure_is_the_last_one_told():
    events = [
        {"code": "RUN_START_EXEC", "message": "started"},
        {"code": "RUN_FAIL_EXEC", "message": "exit code 3"},
        {"code": "RUN_ENDED", "message": "gone"},
    ]
    assert failure({"kubeApp": {"events": events}}) == "exit code 3"
    assert failure({"kubeApp": None}) == ""


class TestUpload:
    def upload(self, script):
        def answer(request):
            assert request.url.path == "/storage/user_files/file-upload-url/scripts/name/job.py"
            return httpx.Response(200, json={"uploadUrl": "http://127.0.0.1:9/signed"})

        where = Connection({"LANDLOOM_URL": "http://api.test", "WHEROBOTS_API_KEY": "k"}, "x")
        with ApiClient(where, transport=httpx.MockTransport(answer)) as client:
            return upload_script(client, where, script, "name")

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(SetupProblem, match=r"There is no file .*none\.py"):
            self.upload(tmp_path / "none.py")

    def test_a_store_that_is_not_there(self, tmp_path):
        script = tmp_path / "job.py"
        script.write_text("print()")
        with pytest.raises(Unavailable, match=r"my:scripts/name/job\.py was not copied"):
            self.upload(script)
