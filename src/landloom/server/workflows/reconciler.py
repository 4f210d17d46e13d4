"""Workflows as a queue: a few at a time, each from PENDING to its end.

Their places are their own, never shared with runs: a run waits for its workflow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from landloom.errors import LandloomError
from landloom.server.db.leases import Lease, Leases
from landloom.server.db.session import Database
from landloom.server.dispatch import LeasedRows
from landloom.server.kit.clock import now
from landloom.server.kit.patience import patiently
from landloom.server.launchers.base import Launcher, Observation, Workload
from landloom.server.launchers.capacity import Capacity, Demand
from landloom.server.settings import Settings
from landloom.server.storage.child import ChildEnvironment
from landloom.server.storage.quota.service import Quota
from landloom.server.storage.sources import Sources
from landloom.server.workflows import repository
from landloom.server.workflows.folder import Outcome, read_outcome, write_request
from landloom.server.workflows.tables import Workflow
from landloom.wire.enums import WorkflowStatus
from landloom.wire.results import WorkflowError

_LOOK_AHEAD: Final = 50
_MAX_ADOPTED: Final = 1000
_LAST_LINES: Final = 8
_TAIL_BYTES: Final = 16 * 1024
_WORKER: Final = ("-m", "landloom.raster.worker")
_FAILED: Final = "WORKFLOW_FAILED"

_log = structlog.get_logger("landloom.workflows")


@dataclass(frozen=True, slots=True)
class WorkflowWork:
    """What driving a workflow needs to know of it."""

    id: str
    organization_id: str
    user_id: str
    status: WorkflowStatus
    request: dict[str, Any]
    output_uri: str
    cancel_requested: bool


class WorkflowQueue(LeasedRows[Workflow]):
    """Takes workflows in order, as many as have a slot, and drives each to its end."""

    name = "workflow"

    def __init__(
        self,
        settings: Settings,
        database: Database,
        launcher: Launcher,
        sources: Sources,
        quota: Quota,
        capacity: Capacity,
    ) -> None:
        leases = Leases(Workflow, owner=settings.instance, seconds=settings.lease_seconds)
        super().__init__(database, leases)
        self._settings = settings
        self._launcher = launcher
        self._sources = sources
        self._quota = quota
        self._capacity = capacity
        self._children = ChildEnvironment(settings)

    async def take(self, held: Collection[str]) -> Sequence[Lease]:
        """Take workflows that lost their server, then those that wait, as slots are free."""
        async with self._database.reading(None) as session:
            if not await self._wanted(session, held):
                return []
        async with self._database.writing(None) as session:
            # Looked at again: another server may have given away the slots that were seen.
            await self._leases.alone(session)
            wanted = await self._wanted(session, held)
            leases = [await self._leases.take(session, *each) for each in wanted]
        return [lease for lease in leases if lease is not None]

    async def _wanted(
        self, session: AsyncSession, held: Collection[str]
    ) -> list[tuple[str, WorkflowStatus]]:
        """Return what may be taken beside all that have a slot, whichever server drives them."""
        but = sorted(held)
        adopted = list[Workflow]()
        for status in (WorkflowStatus.RUNNING, WorkflowStatus.PENDING):
            adopted += await self._leases.free(
                session, status, ~repository.waits(), limit=_MAX_ADOPTED, but=but
            )
        waiting = await self._leases.free(
            session, WorkflowStatus.PENDING, repository.waits(), limit=_LOOK_AHEAD, but=but
        )
        busy = map(_demand, await repository.busy(session))
        admitted = self._capacity.admit([_demand(row.id) for row in waiting], busy)
        return [
            *((row.id, WorkflowStatus(row.status)) for row in adopted),
            *((demand.id, WorkflowStatus.PENDING) for demand in admitted),
        ]

    async def give_up(self, lease: Lease, problem: Exception) -> None:
        """End a workflow that the server itself fails on."""
        del problem  # It is in the server's log, and may quote what is not the user's to read.
        # First, so that nothing is ended that another server drives by now.
        failure = _failure("The server failed on this workflow; its log says why.")
        if await self._end(lease, failure):
            with suppress(LandloomError):
                await self._launcher.cancel(self._directory(lease))

    async def drive(self, lease: Lease, cancelled: asyncio.Event) -> None:
        """See a workflow from where it stands to its end."""
        async with self._database.reading(None) as session:
            row = await self._leases.read(session, lease)
        if row is None or WorkflowStatus(row.status).final:
            return
        work = _work(row)
        if work.cancel_requested:
            cancelled.set()
        directory = self._directory(lease)
        seen = await self._launcher.observe(directory)
        if work.status is WorkflowStatus.PENDING and not await self._mark_running(lease):
            return
        if seen.state == "absent" and not await self._start(lease, work, directory):
            return
        await self._follow(lease, directory, cancelled)

    async def _start(self, lease: Lease, work: WorkflowWork, directory: Path) -> bool:
        try:
            await self._launcher.start(await self._prepare(work, directory))
        except LandloomError as problem:
            await self._launcher.sweep(directory)
            await self._end(lease, _failure(problem.message, problem.suggestion))
            return False
        return True

    async def _prepare(self, work: WorkflowWork, directory: Path) -> Workload:
        sources = await patiently(lambda: self._sources.of(work))
        seconds = self._settings.workflow_timeout_seconds
        await self._quota.expect_writes(work, seconds=seconds)
        request = await asyncio.to_thread(
            write_request,
            directory,
            workflow_id=work.id,
            output_uri=work.output_uri,
            request=work.request,
        )
        command = self._settings.workflow_argv or (str(self._settings.job_python), *_WORKER)
        return Workload(
            id=work.id,
            directory=directory,
            argv=(*command, str(request)),
            env=self._children.for_workflow(sources, directory / "profile"),
            timeout_seconds=self._settings.workflow_timeout_seconds,
            cpus=0,
            memory_bytes=0,
            owner=work.user_id,
        )

    async def _follow(self, lease: Lease, directory: Path, cancelled: asyncio.Event) -> None:
        told = False
        while True:
            seen = await self._launcher.observe(directory)
            if seen.state in {"exited", "lost"}:
                break
            if cancelled.is_set() and not told:
                await self._launcher.cancel(directory)
                told = True
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    asyncio.Event().wait() if told else cancelled.wait(),
                    self._settings.poll_seconds,
                )
        if seen.state == "lost":
            await self._launcher.sweep(directory)
        await self._end(lease, await asyncio.to_thread(self._outcome, directory, seen))

    def _outcome(self, directory: Path, seen: Observation) -> Outcome:
        """Return how a workflow ended: in its own words, or in ours where it left none."""
        said = read_outcome(directory)
        if said is not None:
            return said
        if seen.reason == "cancelled":
            return Outcome(status=WorkflowStatus.CANCELLED)
        if seen.reason == "timeout":
            return _failure(
                "The workflow was ended after"
                f" {self._settings.workflow_timeout_seconds} seconds, the limit here."
            )
        how = (
            "was lost"
            if seen.state == "lost"
            else f"ended with exit code {seen.exit_code} and no result"
        )
        last = "\n".join(_last_lines(directory / "log"))
        return _failure(
            f"The worker {how}." + (f" The last it printed:\n{last}" if last else ""),
            "An exit code of 137 often means that the memory ran out."
            if seen.exit_code == 137  # noqa: PLR2004 - 128 + SIGKILL
            else "",
        )

    async def _mark_running(self, lease: Lease) -> bool:
        """Set RUNNING; refuse where a cancel came first, or the lease is lost."""
        at = now()
        async with self._database.writing(None) as session:
            return await self._leases.write(
                session,
                lease,
                WorkflowStatus.PENDING,
                status=WorkflowStatus.RUNNING,
                message="Starting.",
                started_at=at,
                updated_at=at,
            )

    async def _end(self, lease: Lease, outcome: Outcome) -> bool:
        """Write a workflow's end; return whether it was ours to write."""
        at = now()
        result, error = outcome.result, outcome.error
        async with self._database.writing(None) as session:
            held = await self._leases.write(
                session,
                lease,
                *(WorkflowStatus.PENDING, WorkflowStatus.RUNNING),
                status=outcome.status,
                message=error.message if error else outcome.status.capitalize() + ".",
                result=result.model_dump(mode="json") if result else None,
                error=error.model_dump(mode="json") if error else None,
                completed_at=at,
                updated_at=at,
            )
        if held:
            _log.info("workflow ended", status=outcome.status)
        return held

    def _directory(self, lease: Lease) -> Path:
        return self._settings.workloads_dir / lease.row_id


def _demand(row_id: str) -> Demand:
    return Demand(row_id, 0, 0)


def _work(row: Workflow) -> WorkflowWork:
    return WorkflowWork(
        id=row.id,
        organization_id=row.organization_id,
        user_id=row.user_id,
        status=WorkflowStatus(row.status),
        request=row.request,
        output_uri=row.output_uri,
        cancel_requested=row.cancel_requested_at is not None,
    )


def _failure(message: str, suggestion: str = "") -> Outcome:
    return Outcome(
        status=WorkflowStatus.FAILED,
        error=WorkflowError(code=_FAILED, message=message, suggestion=suggestion),
    )


def _last_lines(log: Path) -> list[str]:
    """Return the last lines of a log file, without their instants."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [line.partition(" ")[2] for line in lines[-_LAST_LINES:]]
