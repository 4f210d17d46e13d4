"""A server in a process of its own, that can be killed and started again on its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from landloom.stack.ports import pick
from tests.api.platform import eventually, log_lines

ROOT = Path(__file__).parents[2]
START_SECONDS = 120


class Server:
    """A server process over a folder as its store.

    Args:
        data_dir: Of the platform; servers that share a database share it too.
        port: Where it is to listen; 0 finds one.
        settings: Changes to those of tests.
        env: Further variables of the process.
    """

    def __init__(
        self, data_dir: Path, port: int = 0, env: dict[str, str] | None = None, **settings: Any
    ) -> None:
        self.data_dir = data_dir
        self._port = port or pick(1, with_grpc=False)[0]
        self.url = f"http://127.0.0.1:{self._port}"
        self.log = data_dir / f"server-{settings.get('instance', 'main')}.log"
        self._settings = json.dumps(settings)
        self._env = os.environ | (env or {})
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.e2e.serve", str(self.data_dir), str(self._port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, self._settings], cwd=ROOT, stderr=log, env=self._env
            )
        try:
            eventually(self._answers, bool, START_SECONDS)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(60)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        headers = {"X-API-Key": self.known()["WHEROBOTS_API_KEY"], **options.pop("headers", {})}
        answer = httpx.request(method, self.url + path, headers=headers, timeout=60, **options)
        answer.raise_for_status()
        return answer.json()

    def known(self) -> dict[str, str]:
        lines = (self.data_dir / "connection.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def upload(self, text: str, name: str = "script.py") -> str:
        known = self.known()
        key = f"landloom/{known['ORG']}/data/customer-{known['USER']}/{name}"
        path = self.data_dir / "store" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return f"s3://{key}"

    def submit(self, uri: str, **payload: Any) -> str:
        body = {"name": "fault-run", "runtime": "micro", "runPython": {"uri": uri}, **payload}
        run_id: str = self.ask("POST", "/runs", json=body)["id"]
        return run_id

    def finished(self, run_id: str, seconds: float = 120) -> dict[str, Any]:
        return eventually(
            lambda: self.ask("GET", f"/runs/{run_id}"),
            lambda run: run["status"] not in {"PENDING", "RUNNING"},
            seconds,
        )

    def lines(self, run_id: str) -> list[str]:
        return log_lines(lambda query: self.ask("GET", f"/runs/{run_id}/logs?{query}"))

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            return httpx.get(f"{self.url}/health", timeout=20).status_code == 200
        except httpx.HTTPError:
            return False
