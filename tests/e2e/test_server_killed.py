"""The server killed at any moment: what was submitted runs once, and no line is lost."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.platform import eventually

ROOT = Path(__file__).parents[2]
SCRIPT = """
import os, pathlib, time
with open(pathlib.Path(__file__).parents[3] / "starts", "a") as file:
    file.write(os.environ["LANDLOOM_RUN_ID"] + "\\n")
for n in range(60):
    print(n, flush=True)
    time.sleep(0.05)
"""


class Server:
    """A server process that can be killed and started again on its folder."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.data_dir = data_dir
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.e2e.serve", str(self.data_dir), str(self._port)]
        with (self.data_dir / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stderr=log)
        eventually(self._answers, bool)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        known = self.known()
        headers = {"X-API-Key": known["WHEROBOTS_API_KEY"]}
        answer = httpx.request(method, self.url + path, headers=headers, timeout=20, **options)
        answer.raise_for_status()
        return answer.json()

    def known(self) -> dict[str, str]:
        lines = (self.data_dir / "connection.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def upload(self, text: str) -> str:
        known = self.known()
        key = f"landloom/{known['ORG']}/data/customer-{known['USER']}/script.py"
        path = self.data_dir / "store" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return f"s3://{key}"

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.data_dir / "server.log").read_text()[-3000:]
        try:
            return httpx.get(f"{self.url}/health", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(tmp_path, port)
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
        text = (server.data_dir / "server.log").read_text()
        assert server.known()["WHEROBOTS_API_KEY"] not in text
        assert "secret-" not in text
        lines = [json.loads(line) for line in text.splitlines()]
        assert any(line.get("request_id") for line in lines)
