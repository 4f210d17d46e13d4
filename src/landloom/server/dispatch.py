"""The loop behind runs and workflows: takes work from its queue and sees each piece to its end.

The database rows are the queue, so nothing is lost with this process. Each row that was taken is
driven by one task here; a heartbeat keeps its lease. Nothing turns while nothing is to be done:
the loop sleeps until it is woken by a submit, or looks around every few seconds for what another
process left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Final, Protocol

import structlog

from landloom.server.db.away import is_away
from landloom.server.db.leases import Lease, LeasedRow, Leases, Renewal
from landloom.server.db.session import Database

_LOOK_SECONDS: Final = 5.0
"""How often to look for rows whose holder vanished."""
_RENEWALS_PER_LEASE: Final = 5
_FIRST_PAUSE_SECONDS: Final = 0.5
_ATTEMPTS: Final = 5

_log = structlog.get_logger("landloom.dispatch")


class Queue(Protocol):
    """Rows of one kind that are work."""

    name: str

    async def free_own(self) -> None:
        """Give back what this server held before it was killed."""

    async def take(self, held: Collection[str]) -> Sequence[Lease]:
        """Take the leases of rows that may be worked on now, beside those already held."""

    async def renew(self, leases: Sequence[Lease]) -> Renewal:
        """Renew these leases."""

    async def drive(self, lease: Lease, cancelled: asyncio.Event) -> None:
        """See a row from where it stands to its end.

        May be cancelled, or raise, at any point, and is then called again, here or elsewhere.
        """

    async def give_back(self, lease: Lease) -> None:
        """Free a row."""

    async def give_up(self, lease: Lease, problem: Exception) -> None:
        """End a row that can't be driven, as failed."""


class LeasedRows[Row: LeasedRow]:
    """The part of a queue that is alike for all: leases on the rows of one table."""

    def __init__(self, database: Database, leases: Leases[Row]) -> None:
        self._database = database
        self._leases = leases

    async def free_own(self) -> None:
        """Give back what this server held before it was killed."""
        async with self._database.writing(None) as session:
            await self._leases.give_back_all(session)

    async def renew(self, leases: Sequence[Lease]) -> Renewal:
        """Renew these leases."""
        async with self._database.writing(None) as session:
            return await self._leases.renew(session, leases)

    async def give_back(self, lease: Lease) -> None:
        """Free a row."""
        async with self._database.writing(None) as session:
            await self._leases.give_back(session, lease)


class Dispatcher:
    """Works on one queue until it is cancelled."""

    def __init__(
        self, queue: Queue, *, lease_seconds: float, left: Callable[[str], None] | None = None
    ) -> None:
        """Make a dispatcher; `left` is told the id of each row that is driven no more."""
        self._queue = queue
        self._left = left
        self._renew_seconds = lease_seconds / _RENEWALS_PER_LEASE
        self._woken = asyncio.Event()
        self._busy = asyncio.Event()
        self._held: dict[str, _Piece] = {}

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._woken.set()

    def cancel(self, row_id: str) -> None:
        """Tell whoever drives this row, if it is driven here, that its end was asked for."""
        piece = self._held.get(row_id)
        if piece is not None:
            piece.cancelled.set()

    async def run(self) -> None:
        """Work until cancelled; what is then running goes on without this server."""
        heartbeat = asyncio.create_task(self._keep_leases())
        try:
            await self._until_it_works(self._queue.free_own)
            while True:
                self._woken.clear()
                await self._until_it_works(self._take)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), _LOOK_SECONDS)
        finally:
            heartbeat.cancel()
            await self._stop()

    async def _until_it_works(self, step: _Step) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await step()
            except Exception:  # noqa: BLE001 - the loop outlives a database that is away
                _log.exception("the queue does not answer", queue=self._queue.name)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LOOK_SECONDS)
            else:
                return

    async def _take(self) -> None:
        for lease in await self._queue.take(frozenset(self._held)):
            piece = _Piece(lease)
            self._held[lease.row_id] = piece
            piece.task = asyncio.create_task(
                self._work(piece), name=f"{self._queue.name} {lease.row_id}"
            )
            self._busy.set()

    async def _work(self, piece: _Piece) -> None:
        lease = piece.lease
        with structlog.contextvars.bound_contextvars(**{self._queue.name: lease.row_id}):
            try:
                await self._drive(piece)
            finally:
                if not piece.lost:
                    with suppress(Exception):
                        await self._queue.give_back(lease)
                del self._held[lease.row_id]
                if not self._held:
                    self._busy.clear()
                self.wake()
                if self._left is not None:
                    self._left(lease.row_id)

    async def _drive(self, piece: _Piece) -> None:
        pause, attempt = _FIRST_PAUSE_SECONDS, 1
        while True:
            try:
                await self._queue.drive(piece.lease, piece.cancelled)
            except Exception as problem:  # noqa: BLE001 - one bad row must not stop the rest
                _log.exception("work stumbled", attempt=attempt)
                if attempt == _ATTEMPTS:
                    await self._queue.give_up(piece.lease, problem)
                    return
                # That the database is away is no fault of the row's.
                attempt += not is_away(problem)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LOOK_SECONDS)
            else:
                return

    async def _keep_leases(self) -> None:
        while True:
            await self._busy.wait()
            await asyncio.sleep(self._renew_seconds)
            pieces = list(self._held.values())
            if not pieces:
                continue
            try:
                renewal = await self._queue.renew([piece.lease for piece in pieces])
            except Exception:  # noqa: BLE001 - the next beat tries again
                _log.exception("leases could not be renewed", queue=self._queue.name)
                continue
            for piece in pieces:
                if piece.lease.row_id in renewal.cancelled:
                    piece.cancelled.set()
                if piece.lease.row_id not in renewal.held:
                    piece.abandon()

    async def _stop(self) -> None:
        tasks = [piece.task for piece in self._held.values() if piece.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Step(Protocol):
    async def __call__(self) -> None: ...


class _Piece:
    """A row that is driven here."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.cancelled = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.lost = False

    def abandon(self) -> None:
        """Stop driving: the lease is lost, or the row has reached its end in another way."""
        self.lost = True
        if self.task is not None:
            self.task.cancel()
