"""The server killed at any moment: what was submitted runs once, and no line is lost."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.platform import eventually
from tests.e2e.server_process import Server

SCRIPT = """
import os, pathlib, time
with open(pathlib.Path(__file__).parents[3] / "starts", "a") as file:
    file.write(os.environ["LANDLOOM_RUN_ID"] + "\\n")
for n in range(60):
    print(n, flush=True)
    time.sleep(0.05)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.mark.e2e
class TestKilled:
    def test_runs_complete_once_and_keep_every_line(self, server: Server) -> None:
        uri = server.upload(SCRIPT)
        body = {"name": "survivor-run", "runtime": "micro", "runPython": {"uri": uri}}
        ids = [server.ask("POST", "/runs", json=body)["id"] for _ in range(6)]
        chance = random.Random(20261122)
        for _ in range(3):
            time.sleep(chance.uniform(0.05, 1.0))
            server.kill()
            server.start()
        for run_id in ids:
            run = eventually(
                lambda run_id=run_id: server.ask("GET", f"/runs/{run_id}"),
                lambda run: run["status"] not in {"PENDING", "RUNNING"},
                90,
            )
            assert run["status"] == "COMPLETED", run
            page = server.ask("GET", f"/runs/{run_id}/logs?size=1000")
            assert [item["raw"] for item in page["items"]] == [str(n) for n in range(60)]
            codes = [event["code"] for event in run["kubeApp"]["events"]]
            assert codes.count("RUN_START_EXEC") == 1
            assert codes[-1] == "RUN_COMPLETE_EXEC"
        starts = (server.data_dir / "starts").read_text().split()
        assert sorted(starts) == sorted(ids)
        self._log_is_json_without_secrets(server)

    def _log_is_json_without_secrets(self, server: Server) -> None:
        text = server.log.read_text()
        assert server.known()["WHEROBOTS_API_KEY"] not in text
        assert "secret-" not in text
        lines = [json.loads(line) for line in text.splitlines()]
        assert any(line.get("request_id") for line in lines)
