from __future__ import annotations

import asyncio

from tests.unit.server.db.rows import add_organization, make_run

from landloom.server.db.leases import Leases
from landloom.server.db.session import Database
from landloom.server.runs.tables import Run


def leases(owner: str = "one", seconds: float = 60) -> Leases[Run]:
    return Leases(Run, owner=owner, seconds=seconds)


async def add_runs(database: Database, count: int) -> list[str]:
    async with database.writing(None) as session:
        owner = await add_organization(session)
        runs = [make_run(*owner) for _ in range(count)]
        session.add_all(runs)
    return [run.id for run in runs]


class TestLeases:
    async def test_one_of_many_gets_the_row(self, database: Database) -> None:
        (run_id,) = await add_runs(database, 1)

        async def take(owner: str) -> bool:
            async with database.writing(None) as session:
                return await leases(owner).take(session, run_id, "PENDING") is not None

        taken = await asyncio.gather(*(take(f"owner-{n}") for n in range(8)))
        assert sum(taken) == 1

    async def test_rows_are_free_oldest_first(self, database: Database) -> None:
        ids = await add_runs(database, 4)
        async with database.writing(None) as session:
            await leases().take(session, ids[1], "PENDING")
            free = await leases().free(session, "PENDING", limit=2, but=[ids[0]])
        assert [row.id for row in free] == ids[2:]

    async def test_an_expired_lease_writes_nothing_once_taken_over(
        self, database: Database
    ) -> None:
        (run_id,) = await add_runs(database, 1)
        async with database.writing(None) as session:
            old = await leases("old", seconds=-1).take(session, run_id, "PENDING")
            new = await leases("new").take(session, run_id, "PENDING")
            assert old is not None
            assert new is not None
            assert not await leases().write(session, old, name="by the old one")
            assert await leases().write(session, new, name="by the new one")
            await leases().give_back(session, old)
            assert (await leases().renew(session, [old, new])).held == {run_id}

    async def test_a_lease_from_before_the_clock_was_set_back_holds_nothing(
        self, database: Database
    ) -> None:
        (run_id,) = await add_runs(database, 1)
        async with database.writing(None) as session:
            assert await leases("old", seconds=3600).take(session, run_id, "PENDING")
            assert await leases("new").take(session, run_id, "PENDING")
            assert await leases("late").take(session, run_id, "PENDING") is None

    async def test_a_status_that_has_changed_writes_nothing(self, database: Database) -> None:
        (run_id,) = await add_runs(database, 1)
        async with database.writing(None) as session:
            lease = await leases().take(session, run_id, "PENDING")
            assert lease is not None
            assert not await leases().write(session, lease, "RUNNING", name="x")
            assert await leases().write(session, lease, "RUNNING", "PENDING", name="y")

    async def test_an_owner_that_restarts_frees_its_own_only(self, database: Database) -> None:
        mine, theirs = await add_runs(database, 2)
        async with database.writing(None) as session:
            await leases("me").take(session, mine, "PENDING")
            await leases("they").take(session, theirs, "PENDING")
            await leases("me").give_back_all(session)
            free = await leases().free(session, "PENDING", limit=9)
        assert [row.id for row in free] == [mine]
