"""`RasterflowClient` against a platform: errors come through, and an end ends the work."""

import os
import signal
import subprocess
import sys
import time

import httpx
import psutil
import pytest

from landloom import errors
from landloom.wire.enums import WorkflowStatus
from rasterflow_remote import RasterflowClient
from tests.e2e.conftest import SAMPLES, plain_environment

pytestmark = pytest.mark.e2e

AOI = str(SAMPLES / "aoi" / "inn_valley.geojson")
WINDOW = {"start": "2021-01-01", "end": "2022-01-01", "crs_epsg": 3857}
# Small tasks make it long, so that there is something to interrupt; each is one line of the log.
# Shells have their background jobs, these tests maybe among them, pass over Ctrl-C.
SCRIPT = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from datetime import datetime
from rasterflow_remote import RasterflowClient
print("calling", flush=True)
RasterflowClient(cache=False).build_and_predict_mosaic_recipe(
    aoi={AOI!r}, start=datetime(2021, 1, 1), end=datetime(2022, 1, 1), crs_epsg=3857,
    model_recipe="SAMPLE_FIELDS",
)
print("done", flush=True)
"""


@pytest.fixture
def http(platform):
    connection = platform.connection
    headers = {"X-API-Key": connection["WHEROBOTS_API_KEY"]}
    with httpx.Client(base_url=connection["LANDLOOM_URL"], headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
def client(platform, monkeypatch):
    for name, value in platform.connection.items():
        monkeypatch.setenv(name, value)
    return RasterflowClient(cache=False)


def eventually(look, seconds=180):
    """Poll until `look()` gives something."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)


def workflows(http, **query):
    return http.get("/rasterflow/runs", params=query).json()["items"]


def workers_of(workflow_id):
    """Living processes of a workflow."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or ())
        if workflow_id in line and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


class TestErrors:
    def test_the_engines_words_reach_the_caller(self, client, capsys):
        with pytest.raises(errors.CatalogProblem, match="NO_SUCH_RECIPE") as caught:
            client.build_and_predict_mosaic_recipe(AOI, model_recipe="NO_SUCH_RECIPE", **WINDOW)
        assert "SAMPLE_FIELDS" in str(caught.value)
        assert "FAILED" in capsys.readouterr().out

    def test_weights_that_cannot_be_had_name_the_file_and_the_command(self, client):
        with pytest.raises(errors.ModelUnavailable, match=r"ftw-v1\.1-ep\.pt2") as caught:
            client.build_and_predict_mosaic_recipe(AOI, model_recipe="FTW", **WINDOW)
        assert "landloom models add FTW" in str(caught.value)

    @pytest.mark.usefixtures("client")
    def test_a_wrong_key_is_told(self, monkeypatch):
        monkeypatch.setenv("WHEROBOTS_API_KEY", "not-a-key")
        with pytest.raises(errors.Unauthorized):
            RasterflowClient().build_mosaics(["SAMPLE_PLANTING"], AOI, **WINDOW)


class TestEnds:
    def test_ctrl_c_cancels_the_workflow(self, platform, http, tmp_path):
        script = tmp_path / "script.py"
        script.write_text(SCRIPT)
        known = {each["id"] for each in workflows(http)}
        process = subprocess.Popen(
            [sys.executable, str(script)],
            env=plain_environment() | platform.connection,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

        def started():
            new = [each for each in workflows(http) if each["id"] not in known]
            return [each for each in new if each["status"] == WorkflowStatus.RUNNING]

        (workflow,) = eventually(started)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert process.returncode != 0
        assert "KeyboardInterrupt" in told
        self._is_over(http, workflow["id"])

    def test_a_cancelled_run_cancels_its_workflow(self, platform, http, tmp_path):
        script = tmp_path / "script.py"
        script.write_text(SCRIPT)
        detached = platform.landloom("run", str(script), "--detach")
        assert detached.returncode == 0, detached.stderr
        run_id = http.get("/runs", params={"size": 1}).json()["items"][0]["id"]

        def started():
            mine = workflows(http, run_id=run_id)
            return [each for each in mine if each["status"] == WorkflowStatus.RUNNING]

        (workflow,) = eventually(started)
        assert workflow["run_id"] == run_id
        assert http.post(f"/runs/{run_id}/cancel").status_code == 200
        eventually(lambda: http.get(f"/runs/{run_id}").json()["status"] == "CANCELLED")
        self._is_over(http, workflow["id"])

    def _is_over(self, http, workflow_id):
        def status():
            return http.get(f"/rasterflow/runs/{workflow_id}").json()["status"]

        eventually(lambda: status() == WorkflowStatus.CANCELLED, 30)
        eventually(lambda: not workers_of(workflow_id), 30)


def test_a_job_may_bring_a_package(platform, http, tmp_path):
    connection = platform.connection
    script = tmp_path / "brings.py"
    script.write_text("import humanize\nprint(humanize.intcomma(1234567), flush=True)\n")
    uploaded = platform.landloom("run", str(script))
    # The base environment does not have it: that is what the dependency is for.
    assert uploaded.returncode == 1
    uri = http.get("/runs", params={"size": 1}).json()["items"][0]["payload"]["runPython"]["uri"]
    body = {
        "name": "brings-a-package",
        "runPython": {"uri": uri},
        "environment": {"dependencies": [{"sourceType": "PYPI", "libraryName": "humanize"}]},
    }
    run_id = http.post("/runs", json=body).json()["id"]
    final = {"COMPLETED", "FAILED", "CANCELLED"}
    run = eventually(
        lambda: (found := http.get(f"/runs/{run_id}").json())["status"] in final and found
    )
    lines = [item["raw"] for item in http.get(f"/runs/{run_id}/logs").json()["items"]]
    assert run["status"] == "COMPLETED", lines
    assert lines[-1] == "1,234,567"
    assert connection["WHEROBOTS_API_KEY"] not in os.linesep.join(lines)
