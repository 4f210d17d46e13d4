"""Two servers of one machine and one database: what one has, the other leaves alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from landloom.errors import Unavailable
from landloom.runner import folder
from landloom.server.accounts.bootstrap import Bootstrap, ensure_admin
from landloom.server.accounts.tables import ApiKey
from landloom.server.db.leases import Lease
from landloom.server.kit.clock import now
from landloom.server.launchers.choice import choose_launchers
from landloom.server.runs.endings import not_prepared
from landloom.server.runs.reconciler import RunQueue
from landloom.server.runs.states import AppStatus
from landloom.server.runs.tables import Run
from landloom.server.services import Services, make_services
from landloom.server.workflows.tables import Workflow
from tests.api.platform import FolderStore, make_settings
from tests.unit.server.db.rows import make_run


@dataclass
class Server:
    """A server whose dispatchers do not turn: what its queue of runs does is called."""

    services: Services
    admin: Bootstrap

    @property
    def queue(self) -> RunQueue:
        queue = self.services.dispatchers[0]._queue
        assert isinstance(queue, RunQueue)
        return queue

    async def add_runs(self, count: int, **changes: Any) -> list[str]:
        admin = self.admin
        runs = [
            make_run(admin.org_id, admin.user_id, **{"runtime": "micro", **changes})
            for _ in range(count)
        ]
        async with self.services.database.writing(None) as session:
            session.add_all(runs)
        return [run.id for run in runs]

    async def change(self, run_id: str, **values: Any) -> None:
        async with self.services.database.writing(None) as session:
            await session.execute(update(Run).where(Run.id == run_id).values(**values))

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
            session.add(
                Workflow(
                    id="workflow",
                    kind="mosaic",
                    output_uri="s3://b/o",
                    status="RUNNING",
                    message="",
                    request={},
                    **owner,
                )
            )
        return run_id, old
