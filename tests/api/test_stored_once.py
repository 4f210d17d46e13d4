"""What is stored is never answered by a 5xx: clients would submit it once more."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL, make_url, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from landloom.errors import Unavailable
from landloom.server.db.away import is_away
from landloom.server.db.session import Database
from landloom.server.dispatch import Dispatcher
from landloom.server.runs.reconciler import RunQueue
from landloom.server.runs.service import Runs
from landloom.server.runs.tables import Run
from tests.api.cutting_proxy import CuttingProxy, cutting_proxy
from tests.api.platform import Platform, eventually, make_settings, platform


def submit(api: Platform, name: str, **headers: str) -> httpx.Response:
    body = {"name": name, "runPython": {"uri": api.storage.user_path + "absent.py"}}
    return api.client.post("/runs", json=body, headers=headers)


def assert_stored_once(api: Platform, name: str, answer: httpx.Response) -> None:
    assert answer.status_code == 201, answer.text
    listed = api.client.get("/runs", params={"name": name}).json()
    assert [run["id"] for run in listed["items"]] == [answer.json()["id"]]
    assert listed["total"] == 1


def test_a_dispatcher_that_is_not_woken(api: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_dispatcher: Dispatcher) -> None:
        raise RuntimeError("the dispatcher is gone")

    with monkeypatch.context() as patched:
        patched.setattr(Dispatcher, "wake", fail)
        answer = submit(api, "not-woken")
    assert_stored_once(api, "not-woken", answer)


def test_a_run_is_on_the_disk_when_its_client_hears_of_it(
    api: Platform, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database != "sqlite":
        pytest.skip("PostgreSQL waits for the disk with each commit")
    levels = []

    shown = Runs._shown

    async def note(runs: Runs, session: AsyncSession, run_id: str) -> Any:
        levels.append((await session.execute(text("PRAGMA synchronous"))).scalar_one())
        return await shown(runs, session, run_id)

    with monkeypatch.context() as patched:
        patched.setattr(Runs, "_shown", note)
        assert submit(api, "on-the-disk").status_code == 201
    assert levels == [2]


def test_a_run_that_cannot_be_rendered_is_not_stored(
    api: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_document: object) -> bytes:
        raise Unavailable("The run cannot be put into words.")

    with monkeypatch.context() as patched:
        patched.setattr("landloom.server.runs.service.encode", fail)
        assert submit(api, "not-rendered").status_code == Unavailable.status
    assert api.client.get("/runs", params={"name": "not-rendered"}).json()["total"] == 0


@pytest.fixture
def postgres_url(database: str, data_dir: Path) -> URL:
    if database != "postgresql":
        pytest.skip("SQLite is asked without a connection that could be cut")
    return make_url(make_settings(data_dir).database)


@contextmanager
def cut(url: URL, word: str, **options: bool) -> Iterator[tuple[CuttingProxy, str]]:
    """Yield a proxy that cuts where `word` is committed, and the database's URL through it."""
    assert url.port is not None
    with cutting_proxy(url.port, word.encode(), **options) as proxy:
        yield proxy, url.set(port=proxy.port).render_as_string(hide_password=False)


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "cut"}], ids=["bare", "with a key"])
def test_a_connection_that_is_cut_behind_the_commit(
    postgres_url: URL, data_dir: Path, headers: dict[str, str]
) -> None:
    with (
        cut(postgres_url, "cut-behind-the-commit") as (proxy, through),
        platform(data_dir, database_url=through) as api,
    ):
        answer = submit(api, "cut-behind-the-commit", **headers)
        assert proxy.cuts == 1
        assert_stored_once(api, "cut-behind-the-commit", answer)


@pytest.mark.parametrize("options", [{}, {"commits": False}], ids=["stored", "not stored"])
def test_a_database_that_stays_away(
    postgres_url: URL, data_dir: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, bool]
) -> None:
    monkeypatch.setattr("landloom.server.db.doubt._SECONDS", 0.5)
    with (
        cut(postgres_url, "gone-for-long", stays_away=True, **options) as (proxy, through),
        platform(data_dir, database_url=through) as api,
    ):
        answer = submit(api, "gone-for-long")
        assert answer.status_code == 201, answer.text
        assert submit(api, "gone-for-long").status_code >= 500
        proxy.come_back()
        eventually(lambda: stored(postgres_url, "gone-for-long"), bool)
        assert_stored_once(api, "gone-for-long", answer)
        assert api.finished(answer.json()["id"])["status"] == "FAILED"
        assert list((data_dir / "doubts").iterdir()) == []


@pytest.mark.parametrize("options", [{}, {"commits": False}], ids=["stored", "not stored"])
def test_a_database_that_says_nothing_any_more(
    postgres_url: URL, data_dir: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, bool]
) -> None:
    monkeypatch.setattr("landloom.server.db.doubt._SECONDS", 3)
    monkeypatch.setattr("landloom.server.db.session._ANSWER_SECONDS", 3)
    monkeypatch.setattr("landloom.server.db.postgres._STATEMENT_SECONDS", 3)
    monkeypatch.setattr("landloom.server.db.postgres._CONNECT_SECONDS", 3)
    with (
        cut(postgres_url, "fallen-silent", silent=True, **options) as (proxy, through),
        platform(data_dir, database_url=through) as api,
    ):
        answer = submit(api, "fallen-silent")
        assert proxy.cuts == 1
        assert answer.status_code == 201, answer.text
        assert api.client.get("/runs").status_code >= 500
        proxy.come_back()
        eventually(lambda: stored(postgres_url, "fallen-silent"), bool)
        eventually(lambda: api.client.get("/runs").status_code, lambda status: status == 200)
        assert_stored_once(api, "fallen-silent", answer)
        assert api.finished(answer.json()["id"])["status"] == "FAILED"


def test_a_long_statement_is_not_cut_in_a_migration(
    postgres_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landloom.server.db.postgres._STATEMENT_SECONDS", 0.5)

    async def ask() -> None:
        database = Database(postgres_url.render_as_string(hide_password=False))
        async with database._unhurried.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(1)"))
        with pytest.raises(ConnectionError, match="does not answer") as told:
            async with database.reading(None) as session:
                await session.execute(text("SELECT pg_sleep(60)"))
        assert is_away(told.value)
        await database.ping()
        await database.close()

    asyncio.run(ask())


def test_the_kernel_asks_after_the_other_end_of_a_connection(postgres_url: URL) -> None:
    async def ask() -> None:
        database = Database(postgres_url.render_as_string(hide_password=False))
        async with database._engine.connect() as connection:
            raw = await connection.get_raw_connection()
            assert raw.driver_connection is not None
            opened = raw.driver_connection._transport.get_extra_info("socket")
            assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if sys.platform == "linux":
                idle = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
                unanswered = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
                assert (idle, unanswered) == (10, 15_000)
        await database.close()

    asyncio.run(ask())


def test_a_row_that_is_refused_is_no_other_try(
    api: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert submit(api, "taken-id").status_code == 201
    taken = api.client.get("/runs", params={"name": "taken-id"}).json()["items"][0]["id"]
    with monkeypatch.context() as patched:
        patched.setattr("landloom.server.runs.service.new_id", lambda: taken)
        answer = submit(api, "refused-row")
    assert answer.status_code == 500
    assert "Idempotency-Key" not in answer.text


def test_a_server_that_ends_before_its_database_is_back(
    postgres_url: URL, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landloom.server.db.doubt._SECONDS", 0.5)
    with cut(postgres_url, "outlived", commits=False, stays_away=True) as (_, through):
        with platform(data_dir, database_url=through) as api:
            answer = submit(api, "outlived")
        assert answer.status_code == 201, answer.text
    with platform(data_dir) as api:
        eventually(lambda: stored(postgres_url, "outlived"), bool)
        assert_stored_once(api, "outlived", answer)


def test_a_run_outlives_a_database_that_is_away_for_long(
    postgres_url: URL, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landloom.server.dispatch._FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr("landloom.server.dispatch._LOOK_SECONDS", 0.2)
    counted = AttemptsSeen()
    monkeypatch.setattr(RunQueue, "drive", counted.around(RunQueue.drive))
    with (
        cut(postgres_url, "RUN_START_EXEC", stays_away=True) as (proxy, through),
        platform(data_dir, database_url=through) as api,
    ):
        run = api.submit("print('once')")
        # Many more than a run that is at fault itself is given.
        eventually(lambda: counted.failures, lambda failures: failures > 12)
        proxy.come_back()
        assert api.finished(run["id"])["status"] == "COMPLETED"
        assert api.lines(run["id"]) == ["once"]


class AttemptsSeen:
    """Counts how often something failed."""

    def __init__(self) -> None:
        self.failures = 0

    def around(self, step: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def counted(*given: Any) -> None:
            try:
                await step(*given)
            except Exception:
                self.failures += 1
                raise

        return counted


def stored(url: URL, name: str) -> list[str]:
    """Return the ids of the runs of this name, asked of the database itself."""

    async def read() -> list[str]:
        database = Database(url.render_as_string(hide_password=False))
        async with database.reading(None) as session:
            found = list(await session.scalars(select(Run.id).where(Run.name == name)))
        await database.close()
        return found

    return asyncio.run(read())
