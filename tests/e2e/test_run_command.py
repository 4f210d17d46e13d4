"""`landloom run`, `runs`, `logs`, `cancel` against a platform."""

import json
import signal
import subprocess

import pytest

from tests.e2e.conftest import LANDLOOM

pytestmark = pytest.mark.e2e


def write(folder, text, name="job.py"):
    path = folder / name
    path.write_text(text)
    return str(path)


class TestRun:
    def test_output_is_followed_and_the_end_is_the_exit_status(self, platform, tmp_path):
        script = write(
            tmp_path,
            "import sys\nprint('arguments', sys.argv[1:])\nprint('[bold]not markup[/]')\n"
            "print('to stderr', file=sys.stderr)\n",
        )
        ended = platform.landloom("run", script, "--name=follow-me.1", "--", "--fast", "a b")
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.splitlines() == [
            "arguments ['--fast', 'a b']",
            "[bold]not markup[/]",
            "to stderr",
        ]
        assert "is COMPLETED" in ended.stderr
        listed = json.loads(platform.landloom("runs", "--name=follow-me*", "--json").stdout)
        assert [run["name"] for run in listed] == ["follow-me.1"]
        assert listed[0]["payload"]["runPython"]["uri"].startswith(
            platform.connection["USER_S3_PATH"] + "scripts/follow-me.1/"
        )

        run_id = listed[0]["id"]
        table = platform.landloom("runs", "--status=completed", "--name=follow-me.1").stdout
        assert run_id in table
        assert "COMPLETED" in table
        assert platform.landloom("logs", run_id).stdout == ended.stdout
        assert platform.landloom("logs", run_id, "-f", "--tail=1").stdout == "to stderr\n"
        assert platform.landloom("cancel", run_id).stdout == f"{run_id} is COMPLETED.\n"

    def test_a_script_that_fails(self, platform, tmp_path):
        script = write(tmp_path, "raise SystemExit(3)\n")
        ended = platform.landloom("run", script)
        assert ended.returncode == 1
        assert "FAILED" in ended.stderr
        assert "3" in ended.stderr.splitlines()[-1]

    def test_a_timeout_fails(self, platform, tmp_path):
        script = write(tmp_path, "import time\ntime.sleep(60)\n")
        ended = platform.landloom("run", script, "--timeout=1")
        assert ended.returncode == 1
        assert "timeout" in ended.stderr.lower()

    def test_ctrl_c_cancels_the_run(self, platform, tmp_path):
        script = write(tmp_path, "import time\nprint('on', flush=True)\ntime.sleep(60)\n")
        process = subprocess.Popen(
            [*LANDLOOM, "run", script, "--name=to-be-cancelled"],
            env=platform.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "on\n"
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(60) == 130
        assert "Cancelling" in said
        (run,) = json.loads(platform.landloom("runs", "--name=to-be-cancelled", "--json").stdout)
        assert run["status"] == "CANCELLED"
        process.stdout.close()
        process.stderr.close()

    def test_detached_then_cancelled(self, platform, tmp_path):
        script = write(tmp_path, "import time\ntime.sleep(60)\n")
        run_id = platform.landloom("run", script, "--detach").stdout.strip()
        assert platform.landloom("cancel", run_id).returncode == 0
        followed = platform.landloom("logs", run_id, "-f")
        assert followed.returncode == 0
        runs = json.loads(platform.landloom("runs", "--json").stdout)
        assert next(run for run in runs if run["id"] == run_id)["status"] == "CANCELLED"


class TestMistakes:
    def test_each_is_one_sentence(self, platform, tmp_path):
        script = write(tmp_path, "print()\n")
        connection = platform.folder / "connection.env"
        cases = {
            ("run", str(tmp_path / "none.py")): "There is no file",
            ("run", "s3://another-bucket/job.py"): "another-bucket",
            ("run", script, "--name=short"): "name",
            ("run", script, "--runtime=enormous"): "enormous",
            ("logs", "nosuchrun"): "nosuchrun",
            ("cancel", "nosuchrun"): "nosuchrun",
            ("runs", "--status=ASLEEP"): "status",
        }
        for arguments, named in cases.items():
            ended = platform.landloom(*arguments, f"--connection={connection}")
            assert ended.returncode in {1, 2}, (arguments, ended)
            assert named in ended.stderr, (arguments, ended.stderr)
            assert len(ended.stderr.splitlines()) == 1, (arguments, ended.stderr)
            assert "Traceback" not in ended.stderr

    def test_a_wrong_key(self, platform):
        env = platform.env | {"WHEROBOTS_API_KEY": "nobodys"}
        ended = subprocess.run(
            [*LANDLOOM, "runs"], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 1
        assert "key" in ended.stderr.lower()
