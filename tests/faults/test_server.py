"""The server and what it stands on, killed at random moments while runs of all kinds are under way.

After each: the right end with the right event, every line of the log or a word of what is missing,
no process left, no run stuck.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from landloom.runner import folder, processes
from tests.api.platform import eventually
from tests.api.postgres import PostgresServer, postgres, postgres_binaries
from tests.e2e.conftest import landloom, start_platform
from tests.e2e.server_process import Server
from tests.engine.clusters import START_SECONDS
from tests.engine.job_cluster import JobCluster, job_cluster
from tests.faults.conftest import ROUNDS
from tests.faults.ordeal import DEADLINE_SECONDS, LINES, Ordeal, last_event
from tests.faults.platform_process import StoredServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(max(900, 300 * ROUNDS))]

KINDS = ("ok", "failing", "slow", "cancelled")
MOSTLY = 0.7


@pytest.fixture
def chances(rounds: list[random.Random]) -> list[random.Random]:
    """Of each round; one round where nobody asked for more, as each takes many seconds."""
    return rounds if len(rounds) > 3 else rounds[:1]


def during(chance: random.Random, seconds: float, fault: Callable[[], None]) -> threading.Thread:
    """Bring a fault about in a thread of its own, at a random moment of the next seconds."""
    at = chance.uniform(0, seconds)

    def strike() -> None:
        time.sleep(at)
        fault()

    thread = threading.Thread(target=strike)
    thread.start()
    return thread


def endure(ordeal: Ordeal, chance: random.Random, fault: Callable[[], None]) -> None:
    """Submit runs of all kinds, cancel one of them, and have a fault meanwhile; check all."""
    strike = during(chance, 3.0, fault)
    ordeal.submit(*KINDS)
    time.sleep(chance.uniform(0, 1.5))
    ordeal.insist("POST", f"/runs/{ordeal.ids['cancelled']}/cancel")
    strike.join()
    ordeal.check()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("killed"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("there is no PostgreSQL server on this machine")
    with postgres(binaries) as database:
        yield database


@pytest.fixture(scope="module")
def served(database: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on PostgreSQL."""
    server = Server(tmp_path_factory.mktemp("postgres"), database_url=database.url("faults"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoredServer]:
    """A platform with its own object store."""
    place = tmp_path_factory.mktemp("stored")
    yield StoredServer(start_platform(place))
    landloom("down", f"--data={place}")


def test_the_server_killed(server: Server, chances: list[random.Random]) -> None:
    def kill_and_restart() -> None:
        server.kill()
        server.start()

    for chance in chances:
        endure(Ordeal(server, chance), chance, kill_and_restart)


def test_a_connection_to_postgres_killed(
    served: Server, database: PostgresServer, chances: list[random.Random]
) -> None:
    name = database.url("faults").rpartition("/")[2]

    def kill_a_backend(chance: random.Random) -> None:
        # PostgreSQL answers the loss of one backend by ending all, and recovers.
        backends = database.query("postgres", "SELECT pid, datname FROM pg_stat_activity")
        told = (line.split("|") for line in backends.splitlines())
        os.kill(chance.choice([int(pid) for pid, of in told if of == name]), signal.SIGKILL)

    for chance in chances:
        endure(Ordeal(served, chance), chance, lambda chance=chance: kill_a_backend(chance))


def test_the_clock_stepping_back(tmp_path: Path, chances: list[random.Random]) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    server = Server(tmp_path, env={"TEST_CLOCK_OFFSET": str(offset)}, lease_seconds=2)
    server.start()

    def step_back(chance: random.Random) -> None:
        fresh = offset.with_suffix(".new")
        fresh.write_text(str(float(offset.read_text()) - chance.choice([3, 60, 3600, 86400])))
        fresh.replace(offset)

    try:
        for chance in chances:
            ordeal = Ordeal(server, chance)
            endure(ordeal, chance, lambda chance=chance: step_back(chance))
            for kind in KINDS:
                run = ordeal.finished(kind)
                assert run["startTime"] is None or run["startTime"] <= run["completeTime"], kind
    finally:
        server.kill()


def test_the_object_store_killed(stored: StoredServer, chances: list[random.Random]) -> None:
    for chance in chances:
        endure(Ordeal(stored, chance), chance, stored.kill_store)


def test_the_head_of_ray_killed(tmp_path: Path, chances: list[random.Random]) -> None:
    for number, chance in enumerate(chances):
        began = time.monotonic()
        place = tmp_path / str(number)
        place.mkdir()
        with job_cluster() as cluster:
            server = Server(
                place,
                env={"RAY_ADDRESS": cluster.address},
                launcher="ray",
                ray_python=sys.executable,
                ray_away_seconds=3,
            )
            server.start()
            try:
                told = lose_the_head(Ordeal(server, chance), chance, cluster)
                print(f"round {number}: {told}, {time.monotonic() - began:.0f} s")
            finally:
                server.kill()


def lose_the_head(ordeal: Ordeal, chance: random.Random, cluster: JobCluster) -> dict[str, str]:
    """Kill the head while two runs are under way; return how they ended."""
    ended = {}
    ordeal.submit("ok", "cancelled")
    # A job takes as long to begin as the machine is busy: most rounds wait for that.
    if chance.random() < MOSTLY:
        eventually(lambda: ordeal.lines("ok"), bool, START_SECONDS)
    time.sleep(chance.uniform(0, 3))
    cluster.kill()
    for kind, written in (("ok", [str(n) for n in range(LINES)]), ("cancelled", ["up"])):
        run = eventually(lambda kind=kind: settled(ordeal, kind), bool, DEADLINE_SECONDS)
        if run["status"] == "PENDING":
            ordeal.insist("POST", f"/runs/{ordeal.ids[kind]}/cancel")
            assert ordeal.finished(kind)["status"] == "CANCELLED"
            ended[kind] = "CANCELLED while it waited"
            continue
        ended[kind] = run["status"]
        lines = ordeal.lines(kind)
        told = [line for line in lines if line.startswith("[landloom] ")]
        kept = [line for line in lines if line not in told]
        assert kept == written[: len(kept)]
        if run["status"] == "COMPLETED":
            assert (kind, kept) == ("ok", written)
            continue
        assert run["status"] == "FAILED"
        assert last_event(run)["code"] == "RUN_FAIL_EXEC"
        if "could not be started" in last_event(run)["message"]:
            assert (kept, run["startTime"]) == ([], None)
        else:
            assert any("may be missing" in line for line in told), (run, lines)
    nobody_left(ordeal)
    return ended


def settled(ordeal: Ordeal, kind: str) -> dict[str, Any] | None:
    """Return a run that is over, or waits for the cluster; None while it is neither."""
    run: dict[str, Any] = ordeal.insist("GET", f"/runs/{ordeal.ids[kind]}")
    waits = run["kubeApp"]["message"] == "Waiting for the Ray cluster to answer."
    is_over = run["status"] not in {"PENDING", "RUNNING"}
    return run if is_over or (run["status"] == "PENDING" and waits) else None


def nobody_left(ordeal: Ordeal) -> None:
    """Wait until the workers of a cluster that is gone have noticed it."""
    for run_id in ordeal.ids.values():
        eventually(
            lambda run_id=run_id: processes.strays(folder.MARKER, run_id, None),
            lambda left: left == [],
            60,
        )
