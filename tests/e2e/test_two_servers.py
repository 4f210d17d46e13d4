"""Two servers on one PostgreSQL, one of them killed half way: each run is started once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.api.platform import eventually
from tests.api.postgres import postgres, postgres_binaries
from tests.e2e.server_process import Server

RUNS = 200
SCRIPT = """
import os, pathlib
with open(pathlib.Path(__file__).parents[3] / "starts", "a") as file:
    file.write(os.environ["LANDLOOM_RUN_ID"] + "\\n")
print(os.environ["LANDLOOM_RUN_ID"])
"""


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("there is no PostgreSQL server on this machine")
    with postgres(binaries) as database:
        shared = {
            "database_url": database.url("shared"),
            # Not the size of the machine: as many at a time as there are.
            "cpus": 8,
            "memory_bytes": 64 << 30,
            "lease_seconds": 4,
        }
        one = Server(tmp_path, instance="one", **shared)
        two = Server(tmp_path, instance="two", **shared)
        one.start()
        two.start()
        try:
            yield one, two
        finally:
            one.kill()
            two.kill()


def submit(number: int, uri: str, key: str, servers: tuple[Server, Server]) -> str:
    """Submit as a client does that tries again, here or there, until it is told an id."""
    body = {"name": f"shared-{number:03}", "runtime": "micro", "runPython": {"uri": uri}}
    headers = {"X-API-Key": key, "Idempotency-Key": f"try-{number}"}
    for attempt in range(number, number + 20):
        server = servers[attempt % 2]
        try:
            answer = httpx.post(f"{server.url}/runs", json=body, headers=headers, timeout=60)
        except httpx.TransportError:
            continue
        # Under way elsewhere, or a database that a busy machine keeps from answering.
        if answer.status_code in {409, 503}:
            continue
        assert answer.status_code == 201, answer.text
        run_id: str = answer.json()["id"]
        return run_id
    pytest.fail(f"nobody took run {number}")


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_each_run_is_started_once(servers: tuple[Server, Server]) -> None:
    one, two = servers
    uri, key = one.upload(SCRIPT), one.known()["WHEROBOTS_API_KEY"]

    def completed() -> int:
        total: int = one.ask("GET", "/runs?status=COMPLETED&size=0")["total"]
        return total

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda number: submit(number, uri, key, servers), range(RUNS // 2)))
        eventually(completed, lambda count: count >= RUNS // 8, 240)
        last = pool.map(lambda number: submit(number, uri, key, servers), range(RUNS // 2, RUNS))
        two.kill()
        ids += list(last)
    assert len(set(ids)) == RUNS
    eventually(completed, lambda count: count == RUNS, 600)
    assert one.ask("GET", "/runs?size=0")["total"] == RUNS
    starts = (one.data_dir / "starts").read_text().split()
    assert sorted(starts) == sorted(ids)
    for run_id in ids[:: RUNS // 20]:
        assert one.lines(run_id) == [run_id]
    ended = [ended_by(server) for server in servers]
    assert all(ended), "one of the servers did nothing"
    # One that was being published when the server was killed may be told by neither.
    told = [*ended[0], *ended[1]]
    assert len(set(told)) == len(told)
    assert set(told) <= set(ids)


def ended_by(server: Server) -> list[str]:
    """Return the runs whose end a server says that it has published."""
    told = (json.loads(line) for line in server.log.read_text().splitlines())
    return [each["run"] for each in told if each.get("event") == "run ended"]
