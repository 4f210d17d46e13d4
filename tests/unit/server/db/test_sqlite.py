from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from landloom.server.db.session import Database


@pytest.fixture
async def database(tmp_path: Path):
    made = Database(f"sqlite+aiosqlite:///{tmp_path}/x.sqlite")
    async with made.writing(None) as session:
        await session.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY, word TEXT)"))
    yield made
    await made.close()


async def test_rows_counts_and_many_sets_of_parameters(database: Database):
    async with database.writing(None) as session:
        rows = [{"n": n, "w": f"w{n}"} for n in range(100)]
        await session.execute(text("INSERT INTO t VALUES (:n, :w)"), rows)
        changed = await session.execute(text("UPDATE t SET word = 'x' WHERE n < 7"))
        assert changed.rowcount == 7  # type: ignore[attr-defined]
    async with database.reading(None) as session:
        found = await session.execute(text("SELECT n, word FROM t WHERE n BETWEEN 5 AND 8"))
        assert [tuple(row) for row in found] == [(5, "x"), (6, "x"), (7, "w7"), (8, "w8")]
        assert (await session.execute(text("SELECT 1 WHERE 0"))).all() == []


async def test_an_error_rolls_back_and_leaves_the_connection_fit(database: Database):
    async def carry_out(*statements: str) -> None:
        async with database.writing(None) as session:
            for statement in statements:
                await session.execute(text(statement))

    with pytest.raises(IntegrityError):
        await carry_out("INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES (1, 'b')")
    with pytest.raises(OperationalError):
        await carry_out("SELECT * FROM absent")
    async with database.reading(None) as session:
        assert (await session.scalars(text("SELECT count(*) FROM t"))).one() == 0


async def test_one_that_is_cancelled_leaves_nothing_behind(database: Database):
    slow = (
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x < 300000)"
        " SELECT count(*) FROM c"
    )

    async def write() -> None:
        async with database.writing(None) as session:
            await session.execute(text("INSERT INTO t VALUES (2, 'lost')"))
            started.set()
            await session.execute(text(slow))

    started = asyncio.Event()
    task = asyncio.create_task(write())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.writing(None) as session:
        assert (await session.scalars(text("SELECT count(*) FROM t"))).one() == 0


async def test_a_glance_sees_what_was_written_and_writes_nothing(database: Database):
    async with database.writing(None) as session:
        await session.execute(text("INSERT INTO t VALUES (3, 'seen')"))
    async with database.glancing(None) as session, database.glancing(None) as other:
        for each in (session, other):
            found = await each.execute(text("SELECT n, word FROM t"))
            assert [tuple(row) for row in found] == [(3, "seen")]
    with pytest.raises(OperationalError):
        async with database.glancing(None) as session:
            await session.execute(text("SELECT * FROM absent"))
    with pytest.raises(OperationalError, match="readonly"):
        async with database.glancing(None) as session:
            await session.execute(text("DELETE FROM t"))
    async with database.glancing(None) as session:
        assert (await session.scalars(text("SELECT count(*) FROM t"))).one() == 1
