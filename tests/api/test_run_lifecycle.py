"""Runs from submit to end, through the real application, launcher and runner."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import psutil

from landloom.server.accounts.rights import ADMIN
from landloom.server.db.session import Database
from landloom.server.kit.clock import to_wire
from landloom.server.runs.schemas import RunPayload, RunPythonPayload
from tests.api.platform import Platform, eventually, platform
from tests.api.principals import add_principal
from tests.unit.server.db.rows import make_run

SLEEPER = "import time\nprint('up', flush=True)\ntime.sleep(600)\n"


def is_gone(pid: int) -> bool:
    """Say whether a process has ended; a zombie is one that nobody has collected yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class TestEndings:
    def test_a_script_runs_and_its_lines_are_readable(self, api: Platform) -> None:
        run = api.submit("import sys\nprint('hello', *sys.argv[1:])\n", args=["a", "b c"])
        assert run["status"] == "PENDING"
        assert run["startTime"] is None
        assert (run["kubeApp"]["status"], run["kubeApp"]["events"]) == ("PENDING", [])
        done = api.finished(run["id"])
        assert done["status"] == "COMPLETED"
        assert api.lines(run["id"]) == ["hello a b c"]
        assert api.codes(run["id"]) == [
            "APP_START_CREATION",
            "RUN_START_EXEC",
            "RUN_COMPLETE_EXEC",
        ]
        assert done["createTime"] <= done["startTime"] <= done["completeTime"]
        assert done["updateTime"] == done["completeTime"]
        assert done["kubeApp"]["status"] == "DESTROYED"
        assert done["kubeApp"]["appMeta"]["resolved_version"] == version("landloom")

    def test_a_failing_script_is_told_by_its_exit_code(self, api: Platform) -> None:
        run = api.submit("print('connection timeout', flush=True)\nraise SystemExit(7)\n")
        done = api.finished(run["id"])
        assert done["status"] == "FAILED"
        event = done["kubeApp"]["events"][-1]
        assert event["code"] == "RUN_FAIL_EXEC"
        assert "exit code 7" in event["message"]
        assert "timeout" not in event["message"].lower()
        assert done["kubeApp"]["message"] == event["message"]

    def test_a_timeout_is_a_failure_that_says_so(self, api: Platform) -> None:
        run = api.submit(SLEEPER, timeoutSeconds=1)
        done = api.finished(run["id"])
        assert done["status"] == "FAILED"
        assert done["kubeApp"]["events"][-1]["code"] == "RUN_FAIL_EXEC"
        assert "timeout" in done["kubeApp"]["events"][-1]["message"]
        listed = api.client.get("/runs", params={"status": "TIMED_OUT"}).json()["items"]
        assert run["id"] in [item["id"] for item in listed]

    def test_a_missing_script_fails_the_run_not_the_request(self, api: Platform) -> None:
        body = {"name": "no-such-script", "runPython": {"uri": api.storage.user_path + "no.py"}}
        run = api.client.post("/runs", json=body).json()
        done = api.finished(run["id"])
        assert done["status"] == "FAILED"
        assert done["startTime"] is None
        assert done["kubeApp"]["events"][-1]["code"] == "RUN_FAIL_PREPARE"
        assert "no.py" in done["kubeApp"]["events"][-1]["message"]
        assert done["kubeApp"]["status"] == "PREPARE_FAILED"

    def test_another_users_script_cannot_be_read(self, api: Platform) -> None:
        uri = f"s3://{api.settings.bucket}/{api.admin.org_id}/data/customer-other/x.py"
        body = {"name": "not-my-script", "runPython": {"uri": uri}}
        run = api.client.post("/runs", json=body).json()
        done = api.finished(run["id"])
        assert done["kubeApp"]["events"][-1]["code"] == "RUN_FAIL_PREPARE"

    def test_every_line_is_readable_once_the_status_is_final(self, api: Platform) -> None:
        run = api.submit("for n in range(3000): print(n)\n")
        api.finished(run["id"])
        assert api.lines(run["id"]) == [str(n) for n in range(3000)]


class TestCancel:
    def test_a_running_tree_that_ignores_sigterm_is_ended(self, api: Platform) -> None:
        script = (
            "import signal, subprocess, sys, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import signal, time;"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'],"
            " start_new_session=True)\n"
            "print(child.pid, flush=True)\n"
            "time.sleep(600)\n"
        )
        run = api.submit(script)
        (pid,) = eventually(lambda: api.lines(run["id"]), bool)
        answer = api.client.post(f"/runs/{run['id']}/cancel")
        assert answer.status_code == 200
        assert answer.json()["id"] == run["id"]
        done = api.finished(run["id"])
        assert done["status"] == "CANCELLED"
        assert is_gone(int(pid))
        assert "RUN_CANCEL_REQUESTED" in api.codes(run["id"])

    def test_cancelling_again_or_after_the_end_changes_nothing(self, api: Platform) -> None:
        run = api.submit("print(1)\n")
        done = api.finished(run["id"])
        again = api.client.post(f"/runs/{run['id']}/cancel")
        assert (again.status_code, again.json()) == (200, done)

    def test_a_waiting_run_never_starts(self, data_dir: Path) -> None:
        with platform(data_dir, cpus=0.5) as api:
            first = api.submit(SLEEPER)
            eventually(lambda: api.run(first["id"])["status"], lambda at: at == "RUNNING")
            second = api.submit("open('started', 'w')\n")
            answer = api.client.post(f"/runs/{second['id']}/cancel").json()
            assert answer["status"] == "CANCELLED"
            assert answer["completeTime"] is not None
            api.client.post(f"/runs/{first['id']}/cancel")
            assert api.finished(first["id"])["status"] == "CANCELLED"
            assert api.run(second["id"])["status"] == "CANCELLED"
            assert not (api.settings.workloads_dir / second["id"]).exists()
            assert api.lines(second["id"]) == []


class TestRoom:
    def test_runs_wait_for_room_and_start_in_order(self, data_dir: Path) -> None:
        stamp = "import sys, time\nprint(time.time(), flush=True)\ntime.sleep(0.3)\n"
        stamp += "print(time.time())\n"
        with platform(data_dir, cpus=1) as api:
            ids = [api.submit(stamp, runtime="tiny")["id"] for _ in range(3)]
            assert [api.finished(each)["status"] for each in ids] == ["COMPLETED"] * 3
            spans = [[float(line) for line in api.lines(each)] for each in ids]
            assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))

    def test_a_runtime_larger_than_the_machine_is_clamped_and_runs(self, api: Platform) -> None:
        run = api.submit("print('ran')\n", runtime="4x-large")
        done = api.finished(run["id"])
        assert done["status"] == "COMPLETED"
        assert done["payload"]["runtime"] == "4x-large"
        events = {event["code"]: event["message"] for event in done["kubeApp"]["events"]}
        assert "2 cores" in events["RUN_RUNTIME_CLAMPED"]


class TestJobEnvironment:
    def test_the_runs_key_works_while_it_runs_and_no_longer(self, api: Platform) -> None:
        run = api.submit(
            "import json, os, urllib.request\n"
            "url = os.environ['LANDLOOM_URL'] + '/users/me'\n"
            "key = os.environ['WHEROBOTS_API_KEY']\n"
            "ask = urllib.request.Request(url, headers={'X-API-Key': key})\n"
            "me = json.load(urllib.request.urlopen(ask, timeout=60))\n"
            "print(json.dumps([key, me['id'], os.environ['USER_S3_PATH'],"
            " os.environ['LANDLOOM_RUN_ID'], __file__]))\n"
        )
        assert api.finished(run["id"])["status"] == "COMPLETED"
        key, user_id, user_path, run_id, name = json.loads(api.lines(run["id"])[0])
        assert (user_id, run_id) == (api.admin.user_id, run["id"])
        assert user_path == api.storage.user_path
        assert Path(name).name == run["payload"]["runPython"]["uri"].rsplit("/", 1)[1]
        after = httpx.get(f"{api.url}/users/me", headers={"X-API-Key": key}, timeout=60)
        assert after.status_code == 401
        dump = api.stored()
        assert run_id in dump
        assert key not in dump
        assert api.admin.api_key not in dump

    def test_a_package_that_does_not_exist_fails_the_run_with_the_reason(
        self, api: Platform
    ) -> None:
        environment = {
            "dependencies": [{"libraryName": "pandas", "libraryVersion": "99.1"}],
        }
        run = api.submit("print('never')\n", environment=environment)
        done = api.finished(run["id"])
        assert done["status"] == "FAILED"
        assert done["kubeApp"]["events"][-1]["code"] == "RUN_FAIL_PREPARE"
        assert "pandas" in done["kubeApp"]["events"][-1]["message"]
        assert any("pandas" in line for line in api.lines(run["id"]))


class TestLosses:
    def test_a_killed_runner_fails_the_run_and_leaves_no_process(self, api: Platform) -> None:
        run = api.submit("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n")
        (pid,) = eventually(lambda: api.lines(run["id"]), bool)
        folder = api.settings.workloads_dir / run["id"]
        os.kill(json.loads((folder / "runner.json").read_text())["pid"], signal.SIGKILL)
        done = api.finished(run["id"])
        assert done["status"] == "FAILED"
        assert done["kubeApp"]["events"][-1]["code"] == "RUN_FAIL_EXEC"
        assert is_gone(int(pid))

    def test_a_stopped_server_finds_its_runs_again(self, data_dir: Path) -> None:
        script = (
            "import os, time\n"
            "for n in range(400):\n"
            "    print(n, flush=True)\n"
            "    if os.path.exists(os.environ['LANDLOOM_MODELS']): break\n"
            "    time.sleep(0.05)\n"
        )
        flag = data_dir / "go-on"
        with platform(data_dir, models=flag) as api:
            run = api.submit(script)
            waiting = api.submit("print('second')\n", runtime="4x-large")
            eventually(lambda: len(api.lines(run["id"])), lambda count: count > 2)
        flag.parent.mkdir(exist_ok=True)
        flag.touch()
        folder = data_dir / "workloads" / run["id"]
        eventually((folder / "exit").exists, bool)
        with platform(data_dir, models=flag) as api:
            assert api.finished(run["id"])["status"] == "COMPLETED"
            lines = api.lines(run["id"])
            assert lines == [str(n) for n in range(len(lines))]
            assert api.codes(run["id"]).count("RUN_START_EXEC") == 1
            assert api.finished(waiting["id"])["status"] == "COMPLETED"

    def test_a_run_of_a_server_that_died_elsewhere_is_taken_over(self, data_dir: Path) -> None:
        with platform(data_dir) as api:
            uri = api.upload("script.py", "print('taken over')\n")
        soon = datetime.now(UTC) + timedelta(seconds=1)
        run = make_run(
            api.admin.org_id,
            api.admin.user_id,
            payload=RunPayload(
                name="orphan-run",
                runtime="micro",
                version="latest",
                region="aws-us-west-2",
                timeout_seconds=60,
                run_python=RunPythonPayload(uri=uri),
            ).wire(),
            lease_owner="another",
            lease_token="token",
            lease_expires_at=soon,
        )

        async def put() -> None:
            database = Database(api.settings.database)
            async with database.writing(None) as session:
                session.add(run)
            await database.close()

        asyncio.run(put())
        with platform(data_dir) as api:
            done = api.finished(run.id)
            assert done["status"] == "COMPLETED"
            assert done["startTime"] > to_wire(soon)
            assert api.lines(run.id) == ["taken over"]

    def test_two_servers_over_one_database_run_everything_once(self, data_dir: Path) -> None:
        script = (
            "import os, sys\n"
            "open(os.path.join(sys.argv[1], os.environ['LANDLOOM_RUN_ID']), 'a').write('x')\n"
            "print(os.getpid())\n"
        )
        starts = data_dir / "starts"
        starts.mkdir(parents=True)
        with (
            platform(data_dir, instance="one") as one,
            platform(data_dir, instance="two") as two,
        ):
            runs = [(one, two)[n % 2].submit(script, args=[str(starts)])["id"] for n in range(8)]
            assert {one.finished(each)["status"] for each in runs} == {"COMPLETED"}
            for each in runs:
                assert (starts / each).read_text() == "x"
                assert one.codes(each).count("RUN_START_EXEC") == 1
                assert len(two.lines(each)) == 1


class TestOrganizations:
    def test_another_organizations_runs_do_not_exist(self, data_dir: Path) -> None:
        with platform(data_dir) as api:
            run = api.submit("print(1)\n")
            api.finished(run["id"])
            with add_principal(api, role=ADMIN, organization_id="").client(api) as other:
                for path in (f"/runs/{run['id']}", f"/runs/{run['id']}/logs"):
                    answer = other.get(path)
                    assert answer.status_code == 404
                    assert answer.json()["errors"][0]["code"] == "NOT_FOUND_ERROR"
                assert other.post(f"/runs/{run['id']}/cancel").status_code == 404
                assert other.get("/runs").json()["total"] == 0
                assert other.get("/users/me").json()["id"] != api.admin.user_id
                body = {"runPython": {"uri": run["payload"]["runPython"]["uri"]}}
                assert other.post("/runs", json=body).status_code == 422


class TestUse:
    def test_a_run_that_takes_too_much_memory_is_ended_and_told_so(self, api: Platform) -> None:
        run = api.submit(
            "import time\n"
            "print('begin', flush=True)\n"
            "held = []\n"
            "while True:\n"
            "    held.append(bytearray(b'x' * (64 << 20)))\n"
            "    time.sleep(0.05)\n"
        )
        done = api.finished(run["id"])
        assert done["status"] == "FAILED"
        event = done["kubeApp"]["events"][-1]
        assert event["code"] == "RUN_FAIL_EXEC"
        assert "out of memory" in event["message"]
        assert "1024 MiB" in event["message"]
        lines = api.lines(run["id"])
        assert lines[0] == "begin"
        assert "out of memory" in lines[-1]

    def test_metrics_are_there_while_it_runs_and_after(self, api: Platform) -> None:
        run = api.submit(
            "import time\nheld = b'x' * (100 << 20)\nwhile time.process_time() < 4: pass\n"
        )
        path = f"/runs/{run['id']}/metrics"

        def cpu(found: dict[str, Any]) -> Any:
            return found["series_metrics"].get("CPU_UTILIZATION_PERCENT")

        eventually(lambda: api.client.get(path).json(), lambda found: cpu(found) is not None)
        api.finished(run["id"])
        found = api.client.get(path).json()
        assert cpu(found)["metric"]["format"] == "PERCENTAGE"
        # Beside busy neighbours each share is small, and there are the more of them: together they
        # are the seconds of half a core, but for what came before the first and after the last.
        points = cpu(found)["metric"]["data"]
        spans = [
            later["timestamp"] - earlier["timestamp"]
            for earlier, later in itertools.pairwise(points)
        ]
        used = sum(
            point["value"] / 100 * 0.5 * span for point, span in zip(points[1:], spans, strict=True)
        )
        assert 0.4 < used < 5
        memory = found["instant_metrics"]["MEMORY_UTILIZATION_PERCENT"]["metric"]["data"]
        assert 100 * 100 / 1024 < memory["value"] < 30
        stamps = [point["timestamp"] for point in cpu(found)["metric"]["data"]]
        assert stamps == sorted(stamps)
        assert set(found["series_metrics"]) == {
            "CPU_UTILIZATION_PERCENT",
            "MEMORY_UTILIZATION_PERCENT",
            "CONSUMED_SPATIAL_UNITS",
        }

    def test_a_run_that_never_ran_has_no_metrics(self, api: Platform) -> None:
        body = {
            "name": "absent-run",
            "runPython": {"uri": api.storage.user_path + "absent.py"},
        }
        run = api.client.post("/runs", json=body).json()
        api.finished(run["id"])
        found = api.client.get(f"/runs/{run['id']}/metrics").json()
        assert found == {"series_metrics": {}, "instant_metrics": {}}
