"""Whose run is next: users take turns, and each that waits is told its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from landloom.server.accounts.rights import ADMIN
from tests.api.platform import Platform, eventually, platform
from tests.api.principals import add_principal

SLEEPER = "import time\nprint('up', flush=True)\ntime.sleep(600)\n"


def post(client: httpx.Client, uri: str) -> str:
    answer = client.post("/runs", json={"runtime": "micro", "runPython": {"uri": uri}})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def place(api: Platform, run_id: str) -> Any:
    return api.run(run_id)["kubeApp"]["message"]


def test_the_user_with_the_least_in_use_is_next_and_places_say_so(data_dir: Path) -> None:
    with platform(data_dir, cpus=0.5) as api:
        script = api.store.root / api.settings.bucket / api.storage.shared_prefix / "sleeper.py"
        script.parent.mkdir(parents=True)
        script.write_text(SLEEPER)
        uri = api.storage.shared_path + script.name
        with add_principal(api, role=ADMIN).client(api) as other:
            first = post(api.client, uri)
            eventually(lambda: api.lines(first), bool)
            second, third = post(api.client, uri), post(api.client, uri)
            theirs = post(other, uri)
            assert place(api, theirs) == "Waiting: position 1 in line."
            assert place(api, second) == "Waiting: position 2 in line."
            assert place(api, third) == "Waiting: position 3 in line."
            listed = {
                run["id"]: run["kubeApp"]["message"]
                for run in api.client.get("/runs").json()["items"]
            }
            assert listed[third] == "Waiting: position 3 in line."
            api.client.post(f"/runs/{first}/cancel")
            eventually(lambda: api.run(theirs)["status"], lambda status: status == "RUNNING")
            assert api.run(second)["status"] == "PENDING"
            assert place(api, third) == "Waiting: position 2 in line."
            other.post(f"/runs/{theirs}/cancel")
            eventually(lambda: api.run(second)["status"], lambda status: status == "RUNNING")
            for run_id in (third, second):
                api.client.post(f"/runs/{run_id}/cancel")
            done = api.finished(third)
            assert (done["status"], done["kubeApp"]["status"]) == ("CANCELLED", "DESTROYED")
            api.finished(second)


def test_a_run_has_its_cores_and_the_operators_sizes(data_dir: Path) -> None:
    sizes = data_dir / "runtimes.toml"
    data_dir.mkdir()
    sizes.write_text("[micro]\ncpus = 1\nmemory_gib = 0.25\n")
    with platform(data_dir, runtimes=sizes) as api:
        run = api.submit("import os\nprint(len(os.sched_getaffinity(0)))\n")
        assert api.finished(run["id"])["status"] == "COMPLETED"
        assert api.lines(run["id"]) == ["1"]
        hungry = api.submit("held = bytearray(b'x' * (1 << 30))\nimport time; time.sleep(60)\n")
        done = api.finished(hungry["id"])
        event = done["kubeApp"]["events"][-1]
        assert (done["status"], event["code"]) == ("FAILED", "RUN_FAIL_EXEC")
        assert "out of memory" in event["message"]
        assert "its runtime has 256 MiB" in event["message"]
