"""GET /runs against a ping: how many pages a second one server process answers.

100,000 runs in one organization, pages of 50, 16 connections, one worker. The limit is a ping
through the same authentication and middleware, measured in the same round, as a rate: `vs_limit` is
the ping's rate over ours.

    python bench/runs_list.py [--runs 100000] [--seconds 5] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import uvicorn
from fastapi import FastAPI
from sqlalchemy import insert, text

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.api.platform import FolderStore, ensure_admin, make_settings

from landloom.server import journal
from landloom.server.accounts.auth import having
from landloom.server.accounts.keys import Caller
from landloom.server.app import create_app
from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.kit.ids import new_id
from landloom.server.runs.schemas import RunPayload, RunPythonPayload
from landloom.server.runs.states import AppStatus, EventCode, RunStatus
from landloom.server.runs.tables import Run, RunEvent

CONNECTIONS = 16
PAGE = 50
ROUTES = {"list": f"/runs?size={PAGE}", "ping": "/ping"}
BATCH = 2000
EVENTS = (EventCode.RUN_START_EXEC, EventCode.RUN_COMPLETE_EXEC)


@dataclass(frozen=True)
class Load:
    """What a round of requests showed."""

    rate: float
    """Answers a second."""
    p99_ms: float


def serve(folder: Path) -> None:
    """Be the server: print the URL and the key, then serve until killed.

    Its log goes to stderr, as that of `landloom up` goes to a file: standard output is a pipe that
    nobody reads behind the first line, and would be full after some thousand requests.
    """
    journal.configure()
    settings = make_settings(folder)
    store = FolderStore(folder / "store")
    admin = asyncio.run(ensure_admin(settings, store))
    app = create_app(settings, store, objects=store)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        _add_ping(app)
        print(json.dumps({"url": f"http://{host}:{port}", "key": admin.api_key}), flush=True)
        config = uvicorn.Config(
            app, log_level="critical", access_log=False, timeout_graceful_shutdown=2
        )
        uvicorn.Server(config).run(sockets=[listener])


def _add_ping(app: FastAPI) -> None:
    @app.get("/ping")
    async def ping(caller: Annotated[Caller, having("runs:read")]) -> dict[str, str]:
        return {"organization": caller.organization_id}


async def fill(folder: Path, runs: int) -> None:
    """Store finished runs with two events each."""
    settings = make_settings(folder)
    admin = await ensure_admin(settings, FolderStore(folder / "store"))
    database = Database(settings.database)
    payload = RunPayload(
        runtime="micro",
        version="latest",
        name="listed-run",
        timeout_seconds=3600,
        region="aws-us-west-2",
        run_python=RunPythonPayload(uri="s3://landloom/x/script.py", args=["--year", "2024"]),
    ).wire()
    at = now() - timedelta(days=30)
    for first in range(0, runs, BATCH):
        rows, events = [], []
        for number in range(first, min(first + BATCH, runs)):
            made_at = at + timedelta(seconds=number)
            row = _row(admin.org_id, admin.user_id, payload, made_at, number)
            rows.append(row)
            events += [_event(row["id"], code, made_at) for code in EVENTS]
        async with database.writing(None) as session:
            await session.execute(insert(Run), rows)
            await session.execute(insert(RunEvent), events)
    async with database.writing(None) as session:
        await session.execute(text("ANALYZE"))
    await database.close()


def _row(
    organization: str, user: str, payload: dict[str, Any], at: Any, number: int
) -> dict[str, Any]:
    status = RunStatus.FAILED if number % 10 == 0 else RunStatus.COMPLETED
    return {
        "id": new_id(), "created_at": at, "updated_at": at, "organization_id": organization,
        "user_id": user, "status": status, "name": f"listed-run-{number}",
        "region": "aws-us-west-2", "runtime": "micro", "resolved_version": "1", "payload": payload,
        "timed_out": False, "started_at": at, "completed_at": at, "app_id": new_id(),
        "app_status": AppStatus.DESTROYED, "app_created_at": at,
    }  # fmt: skip


def _event(run_id: str, code: EventCode, at: Any) -> dict[str, Any]:
    return {
        "id": new_id(), "created_at": at, "updated_at": at, "run_id": run_id, "code": code,
        "message": "The script ended with exit code 0.", "meta": None,
    }  # fmt: skip


async def load(url: str, key: str, path: str, seconds: float) -> Load:
    """Ask over and over on every connection; plain sockets, so that the asking costs little."""
    where = urlsplit(url)
    request = f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\nX-API-Key: {key}\r\n\r\n".encode()
    ends = time.perf_counter() + seconds
    taken: list[float] = []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=1 << 22)
        while time.perf_counter() < ends:
            begun = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            taken.append(time.perf_counter() - begun)
        writer.close()

    begun = time.perf_counter()
    async with asyncio.timeout(seconds + 30):
        await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    rate = len(taken) / (time.perf_counter() - begun)
    return Load(rate, 1000 * statistics.quantiles(taken, n=100)[98])


def total_is_exact(url: str, key: str, runs: int) -> bool:
    """Compare the listing's totals with what was stored."""
    with httpx.Client(base_url=url, headers={"X-API-Key": key}, trust_env=False) as client:
        page = client.get("/runs").json()
        failed = client.get("/runs", params={"status": "FAILED", "size": 0}).json()["total"]
        named = client.get("/runs", params={"name": "listed-run-*", "size": 0}).json()["total"]
    return (page["total"], failed, named, len(page["items"])) == (runs, runs // 10, runs, PAGE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, (Path(place) / "server.log").open("wb") as log:
        asyncio.run(fill(Path(place), asked.runs))
        server = subprocess.Popen(
            [sys.executable, __file__, "--serve", place],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert server.stdout is not None
            told = json.loads(server.stdout.readline())
            agree = total_is_exact(told["url"], told["key"], asked.runs)
            found: dict[str, list[Load]] = {name: [] for name in ROUTES}
            for _ in range(asked.rounds):
                for name, path in ROUTES.items():
                    loaded = asyncio.run(load(told["url"], told["key"], path, asked.seconds))
                    found[name].append(loaded)
        finally:
            server.terminate()
            server.wait(timeout=10)
    ours, limit = (statistics.median(each.rate for each in found[name]) for name in ROUTES)
    line = {
        "name": "runs_list",
        "ours": round(ours, 1),
        "limit": round(limit, 1),
        "peers": {},
        "vs_limit": round(limit / ours, 2),
        "vs_peers": {},
        "agree": agree,
        "rounds": asked.rounds,
        "unit": "answers/s",
        "p99_ms": round(statistics.median(each.p99_ms for each in found["list"]), 1),
        "runs": asked.runs,
        "connections": CONNECTIONS,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]))
    else:
        main()
