"""Two servers of one machine and one database: what one has, the other leaves alone."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from landloom.errors import Unavailable
from landloom.runner import folder
from landloom.server.accounts.bootstrap import Bootstrap, ensure_admin
from landloom.server.accounts.tables import ApiKey, User
from landloom.server.db.leases import Lease
from landloom.server.kit.clock import now
from landloom.server.launchers.capacity import Capacity
from landloom.server.launchers.choice import choose_launchers
from landloom.server.runs.endings import not_prepared
from landloom.server.runs.reconciler import RunQueue
from landloom.server.runs.states import AppStatus
from landloom.server.runs.tables import Run
from landloom.server.services import Services, make_services
from landloom.server.workflows.reconciler import WorkflowQueue
from landloom.server.workflows.tables import Workflow
from tests.api.platform import FolderStore, make_settings
from tests.unit.server.db.rows import make_run


@dataclass
class Server:
    """A server whose dispatchers do not turn: what its queues do is called."""

    services: Services
    admin: Bootstrap

    @property
    def queue(self) -> RunQueue:
        queue = self.services.dispatchers[0]._queue
        assert isinstance(queue, RunQueue)
        return queue

    @property
    def workflows(self) -> WorkflowQueue:
        (queue,) = (
            each._queue
            for each in self.services.dispatchers
            if isinstance(each._queue, WorkflowQueue)
        )
        return queue

    async def add_workflow(self, number: int, **changes: Any) -> str:
        row_id = f"workflow{number}"
        row = {
            "id": row_id,
            "created_at": now() + timedelta(microseconds=number),
            "updated_at": now(),
            "organization_id": self.admin.org_id,
            "user_id": self.admin.user_id,
            "kind": "mosaic",
            "output_uri": "s3://b/o",
            "status": "PENDING",
            "message": "",
            "request": {},
        }
        async with self.services.database.writing(None) as session:
            session.add(Workflow(**{**row, **changes}))
        return row_id

    async def add_runs(self, count: int, **changes: Any) -> list[str]:
        owner = (self.admin.org_id, changes.pop("user_id", self.admin.user_id))
        runs = [make_run(*owner, **{"runtime": "micro", **changes}) for _ in range(count)]
        async with self.services.database.writing(None) as session:
            session.add_all(runs)
        return [run.id for run in runs]

    async def change(self, row_id: str, table: Any = Run, **values: Any) -> None:
        async with self.services.database.writing(None) as session:
            await session.execute(update(table).where(table.id == row_id).values(**values))

    async def read(self, table: Any, run_id: str) -> Any:
        column = table.id if table is Run else table.run_id
        async with self.services.database.reading(None) as session:
            return (await session.scalars(select(table).where(column == run_id))).one()


@pytest.fixture
async def servers(data_dir: Path) -> AsyncIterator[tuple[Server, Server]]:
    store = FolderStore(data_dir / "store")
    settings = [make_settings(data_dir, instance=each) for each in ("one", "two")]
    made = [make_services(each, store, choose_launchers(each)) for each in settings]
    await made[0].database.migrate()
    admin = await ensure_admin(settings[0], store)
    yield Server(made[0], admin), Server(made[1], admin)
    for each in made:
        await each.database.close()


class TestLostLeases:
    """A server that slept through its lease: the run is another's by now."""

    async def test_the_run_of_another_keeps_its_keys_and_workflows(
        self, servers: tuple[Server, Server]
    ) -> None:
        slept, other = servers
        run_id, old = await self.make(slept, other)
        progress = slept.queue._progress
        assert not await progress.ended(old, not_prepared(Unavailable("too late")))
        await slept.queue.give_up(old, RuntimeError())
        assert (await other.read(Run, run_id)).status == "PENDING"
        assert (await other.read(ApiKey, run_id)).revoked_at is None
        assert (await other.read(Workflow, run_id)).cancel_requested_at is None
        assert not (slept.services.settings.workloads_dir / run_id / folder.CANCEL).exists()

    async def test_a_run_that_is_over_loses_them_whoever_says_so(
        self, servers: tuple[Server, Server]
    ) -> None:
        slept, other = servers
        run_id, old = await self.make(slept, other)
        await other.change(run_id, status="CANCELLED")
        assert await slept.queue._progress.ended(old, not_prepared(Unavailable("too late")))
        assert (await other.read(Run, run_id)).status == "CANCELLED"
        assert (await other.read(ApiKey, run_id)).revoked_at is not None
        assert (await other.read(Workflow, run_id)).cancel_requested_at is not None

    async def make(self, slept: Server, other: Server) -> tuple[str, Lease]:
        """Return a run that `other` drives, and the lease that `slept` had on it."""
        (run_id,) = await slept.add_runs(1, app_status=AppStatus.REQUESTED)
        (old,) = await slept.queue.take(())
        await slept.change(run_id, lease_token=None)
        (new,) = await other.queue.take(())
        assert old.row_id == new.row_id == run_id
        owner = {
            "created_at": now(),
            "updated_at": now(),
            "organization_id": slept.admin.org_id,
            "user_id": slept.admin.user_id,
            "run_id": run_id,
        }
        async with slept.services.database.writing(None) as session:
            session.add(ApiKey(id="key", name="n", digest="d", preview="p", **owner))
        await slept.add_workflow(0, status="RUNNING", run_id=run_id)
        return run_id, old


class TestRoom:
    """Both hand out what the machine has, not each all of it."""

    async def test_both_together_take_no_more_than_there_is(
        self, servers: tuple[Server, Server]
    ) -> None:
        one, two = servers
        ids = await one.add_runs(12)
        taken = await asyncio.gather(*(each.queue.take(()) for each in servers))
        first = [lease.row_id for leases in taken for lease in leases]
        # Two cores, of which each takes half a one.
        assert len(set(first)) == len(first) == 4
        assert await two.queue.take(()) == await one.queue.take(first) == []
        # They start in line, whoever takes them; and room that one frees is the other's, too.
        assert set(first) == set(ids[:4])
        await one.change(first[0], status="COMPLETED")
        two.queue._looked = -math.inf
        (next_one,) = await two.queue.take(())
        assert next_one.row_id == ids[4]

    async def test_memory_and_gpus_are_counted_together(
        self, servers: tuple[Server, Server]
    ) -> None:
        one, two = servers
        for each in servers:
            each.queue._capacity = Capacity(cpus=64, memory_bytes=3 << 30, gpus=1)
        await one.add_runs(2, runtime="tiny")
        assert len(await one.queue.take(())) == 1
        assert await two.queue.take(()) == []

    async def test_a_run_keeps_its_room_while_its_server_is_slow(
        self, servers: tuple[Server, Server]
    ) -> None:
        one, two = servers
        slow, *_ = ids = await one.add_runs(9)
        taken = await one.queue.take(())
        assert {each.row_id for each in taken} == set(ids[:4])
        await one.change(slow, lease_expires_at=now() - timedelta(seconds=1))
        # The one that lost its server, and nobody in its place.
        (adopted,) = await two.queue.take(())
        assert adopted.row_id == slow
        assert await two.queue.take((slow,)) == []


class TestSlots:
    """Workflows have places of their own, and these, too, are those of the machine."""

    async def test_both_together_take_no_more_than_there_are(
        self, servers: tuple[Server, Server]
    ) -> None:
        one, two = servers
        for each in servers:
            each.workflows._capacity = Capacity(slots=2)
        ids = [await one.add_workflow(number) for number in range(4)]
        taken = await asyncio.gather(*(each.workflows.take(()) for each in servers))
        assert sorted(lease.row_id for leases in taken for lease in leases) == ids[:2]
        assert await two.workflows.take(()) == await one.workflows.take(ids[:2]) == []
        await one.change(ids[0], Workflow, status="COMPLETED")
        (following,) = await two.workflows.take(())
        assert following.row_id == ids[2]

    async def test_one_keeps_its_slot_while_its_server_is_slow(
        self, servers: tuple[Server, Server]
    ) -> None:
        one, two = servers
        for each in servers:
            each.workflows._capacity = Capacity(slots=1)
        slow, _ = [await one.add_workflow(number) for number in range(2)]
        assert [lease.row_id for lease in await one.workflows.take(())] == [slow]
        await one.change(slow, Workflow, lease_expires_at=now() - timedelta(seconds=1))
        (adopted,) = await two.workflows.take(())
        assert adopted.row_id == slow
        assert await two.workflows.take((slow,)) == []

    async def test_who_slept_through_its_lease_ends_nothing(
        self, servers: tuple[Server, Server]
    ) -> None:
        slept, other = servers
        row_id = await slept.add_workflow(0)
        (old,) = await slept.workflows.take(())
        await slept.change(row_id, Workflow, lease_token=None)
        (new,) = await other.workflows.take(())
        await slept.workflows.give_up(old, RuntimeError())
        assert new.row_id == row_id
        async with other.services.database.reading(None) as session:
            row = (await session.scalars(select(Workflow).where(Workflow.id == row_id))).one()
        assert (row.status, row.cancel_requested_at) == ("PENDING", None)
        assert not (slept.services.settings.workloads_dir / row_id / folder.CANCEL).exists()


class TestTurns:
    async def test_users_take_turns_whichever_server_takes_their_runs(
        self, servers: tuple[Server, Server]
    ) -> None:
        one, two = servers
        async with one.services.database.writing(None) as session:
            other = User(
                id="other",
                created_at=now(),
                updated_at=now(),
                organization_id=one.admin.org_id,
                email="o@b",
                roles=[],
            )
            session.add(other)
        mine = await one.add_runs(6)
        theirs = await one.add_runs(6, user_id="other")
        taken = [lease.row_id for each in servers for lease in await each.queue.take(())]
        assert set(taken) == {*mine[:2], *theirs[:2]}
        await two.change(mine[0], status="COMPLETED")
        await two.change(theirs[0], status="COMPLETED")
        two.queue._looked = -math.inf
        again = [lease.row_id for lease in await two.queue.take(())]
        assert set(again) == {mine[2], theirs[2]}
