"""GET /runs against a ping: how many pages a second one server process answers.

100,000 runs in one organization, pages of 50, 16 connections, one worker. The limit is a ping
through the same authentication and middleware, measured in the same round, as a rate: `vs_limit` is
the ping's rate over ours. Two cases: `runs_list` asks for the newest page over and over, as clients
and consoles do, whose finished runs the server keeps as JSON; `runs_list_anywhere` asks for a
thousand pages all over the listing, of which the server keeps a tenth.

    python bench/runs_list.py [--runs 100000] [--seconds 5] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import psutil
import uvicorn
from fastapi import FastAPI
from sqlalchemy import make_url

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import report
from tests.api.platform import FolderStore, ensure_admin, make_settings

from landloom.server import interpreter, journal
from landloom.server.accounts.auth import having
from landloom.server.accounts.keys import Caller
from landloom.server.app import create_app
from landloom.server.kit.clock import now
from landloom.server.kit.paging import Cursor, Position
from landloom.server.runs.schemas import RunPayload, RunPythonPayload
from landloom.server.runs.states import AppStatus, EventCode, RunStatus

CONNECTIONS = 16
PAGE = 50
LIST = f"/runs?size={PAGE}"
CURSORS = "cursors.json"
INSTANT = "%Y-%m-%d %H:%M:%S.%f"
"""How SQLAlchemy writes instants into SQLite."""
EVENTS = (EventCode.RUN_START_EXEC, EventCode.RUN_COMPLETE_EXEC)

_random = random.Random(1)


@dataclass(frozen=True)
class Load:
    """What a round of requests showed."""

    rate: float
    """Answers a second."""
    p99_ms: float
    cpu_ms: float
    """Of the server, an answer: what the machine's other work cannot change much."""


def serve(folder: Path) -> None:
    """Be the server: print the URL and the key, then serve until killed.

    Its log goes to stderr, as that of `landloom up` goes to a file: standard output is a pipe that
    nobody reads behind the first line, and would be full after some thousand requests.
    """
    journal.configure()
    interpreter.settle()
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
    """Store finished runs with two events each, and cursors of a thousand pages among them."""
    settings = make_settings(folder)
    admin = await ensure_admin(settings, FolderStore(folder / "store"))
    payload = RunPayload(
        runtime="micro",
        version="latest",
        name="listed-run",
        timeout_seconds=3600,
        region="aws-us-west-2",
        run_python=RunPythonPayload(uri="s3://landloom/x/script.py", args=["--year", "2024"]),
    ).wire()
    shared = {
        "organization_id": admin.org_id, "user_id": admin.user_id, "region": "aws-us-west-2",
        "runtime": "micro", "resolved_version": "1", "payload": json.dumps(payload),
        "timed_out": 0, "app_status": AppStatus.DESTROYED.value, "spatial_units_per_hour": 0.5,
    }  # fmt: skip
    first, step, cursors = now() - timedelta(days=30), max(1, runs // 1000), []
    # Straight into the file: the triggers count all the same, and it takes seconds, not minutes.
    with closing(sqlite3.connect(make_url(settings.database).database or "")) as database:
        for number in range(runs):
            made_at = first + timedelta(seconds=number)
            run = _run(number, made_at)
            _insert(database, "runs", shared | run)
            for code in EVENTS:
                _insert(database, "run_events", _event(run, code))
            if number >= PAGE and number % step == 0:
                cursors.append(Cursor(Position(made_at, run["id"]), inclusive=True).encode())
        database.execute("ANALYZE")
        database.commit()
    _random.shuffle(cursors)
    (folder / CURSORS).write_text(json.dumps(cursors))


def _insert(database: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", row)  # noqa: S608


def _run(number: int, made_at: datetime) -> dict[str, Any]:
    at = made_at.strftime(INSTANT)
    status = RunStatus.FAILED if number % 10 == 0 else RunStatus.COMPLETED
    return {
        "id": _id(), "created_at": at, "updated_at": at, "status": status.value, "app_id": _id(),
        "name": f"listed-run-{number}", "started_at": at, "completed_at": at, "app_created_at": at,
    }  # fmt: skip


def _event(run: dict[str, Any], code: EventCode) -> dict[str, Any]:
    return {
        "id": _id(), "created_at": run["created_at"], "updated_at": run["updated_at"],
        "run_id": run["id"], "code": code.value, "message": "The script ended with exit code 0.",
    }  # fmt: skip


def _id() -> str:
    return f"r{_random.getrandbits(64):013x}"[:14]


async def load(
    server: psutil.Process, url: str, key: str, paths: Sequence[str], seconds: float
) -> Load:
    """Ask over and over on every connection; plain sockets, so that the asking costs little."""
    where = urlsplit(url)
    head = f"HTTP/1.1\r\nHost: {where.netloc}\r\nX-API-Key: {key}\r\n\r\n"
    requests = itertools.cycle([f"GET {path} {head}".encode() for path in paths])
    ends = time.perf_counter() + seconds
    taken: list[float] = []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=1 << 22)
        while time.perf_counter() < ends:
            begun = time.perf_counter()
            writer.write(next(requests))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            taken.append(time.perf_counter() - begun)
        writer.close()

    begun, used = time.perf_counter(), sum(server.cpu_times()[:2])
    async with asyncio.timeout(seconds + 30):
        await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    rate = len(taken) / (time.perf_counter() - begun)
    cpu_ms = 1000 * (sum(server.cpu_times()[:2]) - used) / len(taken)
    return Load(rate, 1000 * statistics.quantiles(taken, n=100)[98], cpu_ms)


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
            watched = psutil.Process(server.pid)
            agree = total_is_exact(told["url"], told["key"], asked.runs)
            cursors = json.loads((Path(place) / CURSORS).read_text())
            routes = {
                "runs_list": [LIST],
                "runs_list_anywhere": [f"{LIST}&cursor={cursor}" for cursor in cursors],
                "ping": ["/ping"],
            }
            found: dict[str, list[Load]] = {name: [] for name in routes}
            for _ in range(asked.rounds):
                for name, paths in routes.items():
                    found[name].append(
                        asyncio.run(load(watched, told["url"], told["key"], paths, asked.seconds))
                    )
        finally:
            server.terminate()
            server.wait(timeout=10)
    limit = statistics.median(each.rate for each in found.pop("ping"))
    for name, loads in found.items():
        report(
            name,
            ours=statistics.median(each.rate for each in loads),
            limit=limit,
            peers={},
            agree=agree,
            rounds=asked.rounds,
            rate=True,
            unit="answers/s",
            p99_ms=statistics.median(each.p99_ms for each in loads),
            cpu_ms=statistics.median(each.cpu_ms for each in loads),
            runs=asked.runs,
            connections=CONNECTIONS,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]))
    else:
        main()
