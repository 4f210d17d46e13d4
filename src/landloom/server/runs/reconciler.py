"""Runs as a queue: which may start, and each from PENDING to its end.

Every step is load, work without a session, apply under the lease; and every step may be repeated
by another process that finds the row where this one left it.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from landloom.errors import LandloomError, Unavailable
from landloom.server.db.leases import Lease, Leases
from landloom.server.db.session import Database
from landloom.server.dispatch import LeasedRows
from landloom.server.kit.clock import now
from landloom.server.launchers.base import Launcher, Observation
from landloom.server.launchers.capacity import Capacity, Demand
from landloom.server.logs.base import LogStore
from landloom.server.runs import repository
from landloom.server.runs.endings import Ending, ending_of, lost, not_prepared, not_started
from landloom.server.runs.preparation import Preparation, RunWork, run_work
from landloom.server.runs.progress import CancelWorkflows, Progress
from landloom.server.runs.rows import Busy, Waiting
from landloom.server.runs.states import AppStatus, RunStatus
from landloom.server.runs.tables import Run
from landloom.server.settings import Settings

_LOOK_AHEAD: Final = 200
"""Places of the queue that are looked at in one go."""

_LOOK_SECONDS: Final = 5.0
"""How often a full machine looks for runs that lost their server."""
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
_MAX_ADOPTED: Final = 1000


class RunQueue(LeasedRows[Run]):
    """Takes runs in order, as far as the machine has room, and drives each to its end."""

    name = "run"

    def __init__(
        self,
        settings: Settings,
        database: Database,
        launcher: Launcher,
        logs: LogStore,
        preparation: Preparation,
        capacity: Capacity,
        cancel_workflows: CancelWorkflows,
    ) -> None:
        leases = Leases(Run, owner=settings.instance, seconds=settings.lease_seconds)
        super().__init__(database, leases)
        self._settings = settings
        self._launcher = launcher
        self._logs = logs
        self._preparation = preparation
        self._capacity = capacity
        self._progress = Progress(database, leases, cancel_workflows)
        self._demands: dict[str, Demand] = {}
        """What the runs hold that are driven here."""
        self._elsewhere: list[Demand] = []
        """What the others held at the last look."""
        self._smallest = min((each.cpus for each in settings.sizes), default=0.0)
        self._looked = -_LOOK_SECONDS

    async def take(self, held: Collection[str]) -> Sequence[Lease]:
        """Take runs that lost their server, then as many of those that wait as have room."""
        self._demands = {each: self._demands[each] for each in held if each in self._demands}
        if self._is_full() and time.monotonic() < self._looked + _LOOK_SECONDS:
            return []
        self._looked = time.monotonic()
        async with self._database.reading(None) as session:
            if not await self._wanted(session, held):
                return []
        taken = []
        async with self._database.writing(None) as session:
            # Looked at again: another server may have given away the room that was seen.
            await self._leases.alone(session)
            for demand, status in await self._wanted(session, held):
                lease = await self._leases.take(session, demand.id, status)
                if lease is not None:
                    self._demands[demand.id] = demand
                    taken.append(lease)
        return taken

    async def _wanted(
        self, session: AsyncSession, held: Collection[str]
    ) -> list[tuple[Demand, RunStatus]]:
        """Return what may be taken beside all that runs, here or driven by another server."""
        adopted = await self._adoptable(session, held)
        busy = [self._demand(row) for row in await repository.busy(session)]
        waiting = await repository.queue(session, self._preparation.millicores, limit=_LOOK_AHEAD)
        admitted = self._capacity.admit(
            [self._demand(row) for row in waiting if row.id not in held], busy
        )
        ours = {*held, *(row.id for row in adopted)}
        self._elsewhere = [each for each in busy if each.id not in ours]
        return [
            *((self._demand(row), RunStatus(row.status)) for row in adopted),
            *((demand, RunStatus.PENDING) for demand in admitted),
        ]

    async def _adoptable(self, session: AsyncSession, held: Collection[str]) -> list[Run]:
        """Return runs that lost their server: their turn has come, and they have their room."""
        found = list[Run]()
        for status in (RunStatus.RUNNING, RunStatus.PENDING):
            found += await self._leases.free(
                session, status, ~repository.waits(), limit=_MAX_ADOPTED, but=sorted(held)
            )
        return found

    async def give_up(self, lease: Lease, problem: Exception) -> None:
        """End a run that the server itself fails on."""
        del problem  # It is in the server's log, and may quote what is not the user's to read.
        # First, so that nothing is ended that cannot be told as ended, or that another drives.
        if await self._progress.ended(
            lease, not_started("The server failed on this run; its log says why.")
        ):
            with suppress(LandloomError):
                await self._launcher.cancel(self._directory(lease))

    async def drive(self, lease: Lease, cancelled: asyncio.Event) -> None:
        """See a run from where it stands to its end."""
        async with self._database.reading(None) as session:
            row = await self._leases.read(session, lease)
            run = run_work(row) if row is not None else None
        if run is None or RunStatus(run.status).final:
            return
        if run.cancel_requested_at is not None:
            cancelled.set()
        directory = self._directory(lease)
        seen = await self._launcher.observe(directory)
        if seen.state == "absent":
            if not await self._start(lease, run, directory, cancelled):
                return
            seen = await self._launcher.observe(directory)
        await self._follow(lease, run, directory, seen, cancelled)

    async def _start(
        self, lease: Lease, run: RunWork, directory: Path, cancelled: asyncio.Event
    ) -> bool:
        """Prepare and start; say whether there is something to follow."""
        if not run.is_handed_over and not await self._tell_preparing(lease, run):
            return False
        preparing = asyncio.ensure_future(self._preparation.prepare(run, directory))
        try:
            workload, lines = await _unless(cancelled, preparing)
            await self._logs.append(directory, list(lines))
        except _CancelledFirst:
            # A server that was killed may have begun to start it.
            await self._launcher.cancel(directory)
            await self._progress.ended(lease, Ending.cancelled())
            return False
        except (LandloomError, OSError) as failure:
            problem = _as_ours(failure)
            await self._tell_installer_output(directory, problem)
            await self._progress.ended(lease, not_prepared(problem))
            return False
        if not run.is_handed_over and not await self._progress.requested(lease):
            return False
        try:
            await self._launcher.start(workload)
        except LandloomError as problem:
            await self._launcher.sweep(directory)
            ending = not_started(f"The run could not be started: {problem.message}")
            await self._progress.ended(lease, ending)
            return False
        return True

    async def _tell_preparing(self, lease: Lease, run: RunWork) -> bool:
        allotment = self._preparation.allot(run.payload.runtime)
        return await self._progress.preparing(lease, self._preparation.version(run), allotment)

    async def _follow(
        self,
        lease: Lease,
        run: RunWork,
        directory: Path,
        seen: Observation,
        cancelled: asyncio.Event,
    ) -> None:
        """Wait for the end; tell of the beginning, and pass on a cancel, once."""
        shown, told = AppStatus(run.app_status), False
        while True:
            stage = _stage_of(seen, shown)
            if stage is not shown and not await self._tell_stage(lease, run, seen, stage):
                return
            shown = stage
            if seen.state in {"exited", "lost"}:
                break
            if cancelled.is_set() and not told:
                await self._launcher.cancel(directory)
                told = True
            await _pause(self._settings.poll_seconds, None if told else cancelled)
            seen = await self._launcher.observe(directory)
        if seen.state == "lost":
            await self._launcher.sweep(directory)
        is_unwanted = cancelled.is_set() and shown is not AppStatus.READY
        await self._progress.ended(lease, self._ending(run, seen, is_unwanted=is_unwanted))

    async def _tell_stage(
        self, lease: Lease, run: RunWork, seen: Observation, stage: AppStatus
    ) -> bool:
        if stage is AppStatus.DEPLOYING:
            return await self._progress.waiting(lease, seen.waits_for)
        at = now()
        # A node's clock may be wrong, or be set while the run waits.
        began = min(max(seen.started_at or at, run.created_at), at)
        return await self._progress.running(lease, began)

    def _ending(self, run: RunWork, seen: Observation, *, is_unwanted: bool) -> Ending:
        """Return how a run ended; one that was cancelled before it began has no other end."""
        if is_unwanted:
            return Ending.cancelled()
        if seen.state == "lost":
            return lost(seen)
        size = self._preparation.allot(run.payload.runtime).runtime
        return ending_of(seen, run.payload.timeout_seconds, size.memory_bytes)

    async def _tell_installer_output(self, directory: Path, problem: LandloomError) -> None:
        """Put what an installer printed before it failed, and what it came to, into the log."""
        lines: Any = getattr(problem, "lines", ())
        # A disk that is full takes no lines; the event says what was wrong.
        with suppress(Unavailable):
            await self._logs.append(directory, [*lines, f"[landloom] {problem}"])

    def _is_full(self) -> bool:
        """Tell whether not even the smallest run has room."""
        one = Demand("", self._smallest, 0)
        return not self._capacity.admit([one], [*self._demands.values(), *self._elsewhere])

    def _demand(self, row: Run | Waiting | Busy) -> Demand:
        size = self._preparation.allot(row.runtime).runtime
        return Demand(row.id, size.cpus, size.memory_bytes, size.gpus)

    def _directory(self, lease: Lease) -> Path:
        return self._settings.workloads_dir / lease.row_id


def _stage_of(seen: Observation, shown: AppStatus) -> AppStatus:
    """Return what is to be shown of a run that looks like this."""
    if seen.started_at is not None or shown is AppStatus.READY:
        return AppStatus.READY
    if seen.state == "waiting":
        return AppStatus.DEPLOYING
    return shown


class _CancelledFirst(Exception):
    """The end was asked for before the work was done."""


async def _unless[T](cancelled: asyncio.Event, work: asyncio.Future[T]) -> T:
    """Wait for `work`, or stop it when `cancelled` is set first."""
    waiting = asyncio.ensure_future(cancelled.wait())
    either: set[asyncio.Future[Any]] = {work, waiting}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise _CancelledFirst
        return work.result()
    finally:
        waiting.cancel()
        if not work.done():
            work.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await work


def _as_ours(failure: LandloomError | OSError) -> LandloomError:
    """Return what is wrong with the run as an error that may be shown.

    Raises:
        OSError: It is not the run's fault, or its disk's: a database that went away is one, too.
    """
    if isinstance(failure, LandloomError):
        return failure
    if failure.errno not in _NO_ROOM:
        raise failure
    return Unavailable(
        f"The run's files could not be written: {failure.strerror or failure}.",
        suggestion="Make room on the disk that holds the platform's data folder.",
    )


async def _pause(seconds: float, woken: asyncio.Event | None) -> None:
    if woken is None:
        await asyncio.sleep(seconds)
        return
    with suppress(TimeoutError):
        await asyncio.wait_for(woken.wait(), seconds)
