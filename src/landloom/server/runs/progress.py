"""What is published of a run on its way: each step a transaction under the run's lease.

Every step says whether it was taken; it is not where the lease is lost, or a cancel came first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from landloom.server.accounts import repository as accounts
from landloom.server.db.leases import Lease, Leases
from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.launchers.runtimes import Allotment
from landloom.server.runs import repository
from landloom.server.runs.endings import Ending
from landloom.server.runs.states import AppStatus, EventCode, RunStatus
from landloom.server.runs.tables import Run

type CancelWorkflows = Callable[[AsyncSession, str], Awaitable[Callable[[], None]]]
"""Asks for the end of a run's workflows; what it returns is to be called after the commit."""

_log = structlog.get_logger("landloom.runs")


class Progress:
    """Publishes how far runs have come."""

    def __init__(
        self, database: Database, leases: Leases[Run], cancel_workflows: CancelWorkflows
    ) -> None:
        self._database = database
        self._leases = leases
        self._cancel_workflows = cancel_workflows

    async def preparing(self, lease: Lease, version: str, allotment: Allotment) -> bool:
        """Say that a run is being prepared, and where it gets less than it asked for."""
        async with self._database.writing(None) as session:
            held = await self._leases.write(
                session,
                lease,
                RunStatus.PENDING,
                app_status=AppStatus.PREPARING,
                resolved_version=version,
                updated_at=now(),
            )
            if not held:
                return False
            repository.add_event(
                session, lease.row_id, EventCode.APP_START_CREATION, "The run is being prepared."
            )
            if allotment.is_clamped:
                size = allotment.runtime
                repository.add_event(
                    session,
                    lease.row_id,
                    EventCode.RUN_RUNTIME_CLAMPED,
                    f"The runtime {size.name!r} is larger than this machine; the run gets"
                    f" {size.cpus:g} cores, {size.memory_bytes / 2**30:.1f} GiB and"
                    f" {size.gpus} GPUs.",
                )
        return True

    async def requested(self, lease: Lease) -> bool:
        """Note that a launcher is about to have the run: from now on only it can end the run."""
        async with self._database.writing(None) as session:
            return await self._leases.write(
                session,
                lease,
                RunStatus.PENDING,
                app_status=AppStatus.REQUESTED,
                updated_at=now(),
            )

    async def waiting(self, lease: Lease, what: str) -> bool:
        """Say what the launcher waits for before the run can begin."""
        return await self._tell(
            lease, EventCode.RUN_WAIT_EXEC, f"Waiting for {what}.", app_status=AppStatus.DEPLOYING
        )

    async def running(self, lease: Lease, began: datetime) -> bool:
        """Say that a run's script was started, at the moment `began`."""
        return await self._tell(
            lease,
            EventCode.RUN_START_EXEC,
            "The script was started.",
            status=RunStatus.RUNNING,
            started_at=began,
            app_status=AppStatus.READY,
        )

    async def _tell(self, lease: Lease, code: EventCode, message: str, **changes: Any) -> bool:
        """Change a run that waits, with an event that says so."""
        async with self._database.writing(None) as session:
            held = await self._leases.write(
                session, lease, RunStatus.PENDING, **changes, updated_at=now()
            )
            if held:
                repository.add_event(session, lease.row_id, code, message)
        return held

    async def ended(self, lease: Lease, ending: Ending) -> bool:
        """Publish how a run ended, and take back all it was given.

        Returns:
            Whether the run is over, by this or by an end it had before. It is not where the lease
            is lost: then another server drives it, and what it was given is left to it.
        """
        async with self._database.writing(None) as session:
            held = await self._write_end(session, lease, ending)
            # A run that was cancelled while it was prepared got its key afterwards, perhaps.
            if not held and not await repository.is_over(session, lease.row_id):
                return False
            await accounts.revoke_keys_of_run(session, lease.row_id)
            tell_workflows = await self._cancel_workflows(session, lease.row_id)
        tell_workflows()
        if held:
            _log.info("run ended", status=ending.status, exit_code=ending.exit_code)
        return True

    async def _write_end(self, session: AsyncSession, lease: Lease, ending: Ending) -> bool:
        at = now()
        held = await self._leases.write(
            session,
            lease,
            *(RunStatus.PENDING, RunStatus.RUNNING),
            status=ending.status,
            timed_out=ending.timed_out,
            exit_code=ending.exit_code,
            completed_at=at,
            app_status=ending.app_status,
            updated_at=at,
        )
        if held and ending.code is not None:
            repository.add_event(session, lease.row_id, ending.code, ending.message, ending.meta)
        return held
