"""What every fault must leave as it should be: runs of each kind, and a look at all of them."""

from __future__ import annotations

import random
import time
from typing import Any

import httpx

from landloom.runner import folder, processes
from tests.api.platform import eventually
from tests.e2e.server_process import Server

LINES = 40
DEADLINE_SECONDS = 120

OK = f"""
import time
for n in range({LINES}):
    print(n, flush=True)
    time.sleep(0.03)
"""
FAILING = """
import sys, time
for n in range(10):
    print(n, file=sys.stderr, flush=True)
    time.sleep(0.05)
sys.exit(3)
"""
ENDLESS = """
import subprocess, time
subprocess.Popen(["setsid", "sleep", "600"])
print("up", flush=True)
time.sleep(600)
"""
SCRIPTS = {"ok": OK, "failing": FAILING, "slow": ENDLESS, "cancelled": ENDLESS}


class Ordeal:
    """Runs of all kinds on a server that is in for something."""

    def __init__(self, server: Server, chance: random.Random) -> None:
        self.server = server
        self._key = f"{chance.random()}"
        self.uris = {name: server.upload(text, f"{name}.py") for name, text in SCRIPTS.items()}
        self.ids: dict[str, str] = {}

    def submit(self, *kinds: str) -> None:
        """Submit a run of each kind, as often as it takes to be told an id."""
        for kind in kinds:
            body = {
                "name": f"ordeal-{kind}",
                "runtime": "micro",
                "runPython": {"uri": self.uris[kind]},
                "timeoutSeconds": 3 if kind == "slow" else 600,
            }
            headers = {"Idempotency-Key": f"{self._key}-{kind}"}
            run = self.insist("POST", "/runs", json=body, headers=headers)
            self.ids[kind] = run["id"]

    def insist(self, method: str, path: str, **options: Any) -> Any:
        """Ask until there is an answer that is not the server's failure."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                return self.server.ask(method, path, **options)
            except httpx.TransportError as problem:
                failure: httpx.HTTPError = problem
            except httpx.HTTPStatusError as problem:
                failure = problem
                if problem.response.status_code < 500 and problem.response.status_code != 409:
                    raise
            if time.monotonic() > deadline:
                raise failure
            time.sleep(0.1)

    def finished(self, kind: str) -> dict[str, Any]:
        return eventually(
            lambda: self.insist("GET", f"/runs/{self.ids[kind]}"),
            lambda run: run["status"] not in {"PENDING", "RUNNING"},
            DEADLINE_SECONDS,
        )

    def lines(self, kind: str) -> list[str]:
        path = f"/runs/{self.ids[kind]}/logs?size=1000"
        items = self.insist("GET", path)["items"]
        stamps = [item["timestamp"] for item in items]
        assert stamps == sorted(stamps)
        return [item["raw"] for item in items]

    def check(self) -> None:
        """Wait for every end, and see that it is the right one, whole, with nothing left."""
        for kind in self.ids:
            getattr(self, f"_check_{kind}")(self.finished(kind))
        for kind, run_id in self.ids.items():
            left = processes.strays(folder.MARKER, run_id, None)
            assert left == [], f"the {kind} run left {left}"

    def _check_ok(self, run: dict[str, Any]) -> None:
        assert run["status"] == "COMPLETED", last_event(run)
        assert last_event(run)["code"] == "RUN_COMPLETE_EXEC"
        assert self.lines("ok") == [str(n) for n in range(LINES)]
        codes = [event["code"] for event in run["kubeApp"]["events"]]
        assert codes.count("RUN_START_EXEC") == 1

    def _check_failing(self, run: dict[str, Any]) -> None:
        assert run["status"] == "FAILED"
        assert last_event(run)["code"] == "RUN_FAIL_EXEC"
        assert "exit code 3" in last_event(run)["message"]
        assert self.lines("failing") == [str(n) for n in range(10)]

    def _check_slow(self, run: dict[str, Any]) -> None:
        assert run["status"] == "FAILED"
        assert last_event(run)["code"] == "RUN_FAIL_EXEC"
        assert "timeout" in last_event(run)["message"]
        # On a busy machine its time may be over before it prints.
        assert self.lines("slow") in ([], ["up"])

    def _check_cancelled(self, run: dict[str, Any]) -> None:
        assert run["status"] == "CANCELLED"
        assert self.lines("cancelled") in ([], ["up"])


def last_event(run: dict[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = run["kubeApp"]["events"][-1]
    return event
