"""The rules of runs: what may be asked for, and what becomes of the asking."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from landloom.errors import NotFound
from landloom.server.accounts import repository as accounts
from landloom.server.accounts.keys import Caller
from landloom.server.db.session import Database
from landloom.server.dispatch import Dispatcher
from landloom.server.kit.clock import now
from landloom.server.kit.ids import new_id
from landloom.server.kit.paging import Cursor, Page, read_page
from landloom.server.logs.base import LogStore
from landloom.server.offers import Offers
from landloom.server.runs import repository, schemas
from landloom.server.runs.repository import RunFilter
from landloom.server.runs.rules import Rules
from landloom.server.runs.states import RunStatus
from landloom.server.runs.tables import Run
from landloom.server.runs.views import run_view
from landloom.server.settings import Settings

MAX_LOG_LINES: Final = 1000
"""Lines of one page; a line may have 64 KiB."""
_MAX_CLIENT: Final = 255


@dataclass(frozen=True, slots=True)
class RunPageOf:
    """A page of runs and how many there are in all."""

    page: Page[schemas.RunView]
    total: int


class Runs:
    """Creates, shows and cancels runs."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        logs: LogStore,
        dispatcher: Dispatcher,
        cancel_workflows: Callable[[AsyncSession, str], Awaitable[Callable[[], None]]],
    ) -> None:
        self._settings = settings
        self._rules = Rules(settings)
        self._offers = Offers(settings)
        self._database = database
        self._logs = logs
        self._dispatcher = dispatcher
        self._cancel_workflows = cancel_workflows

    async def create(
        self,
        caller: Caller,
        request: schemas.CreateRunPayload,
        *,
        region: str | None,
        source_client: str | None,
    ) -> schemas.RunView:
        """Put a run into the queue.

        Raises:
            InvalidInput: A region, runtime, version or place of the source that is not on offer.
            Forbidden: The operator has not enabled the runtime.
        """
        run_id = new_id()
        async with self._database.writing(caller.organization_id) as session:
            organization = await accounts.organization(session, caller.organization_id)
            payload = self._rules.payload(request, organization, region=region, run_id=run_id)
            self._rules.check_source(payload, caller)
            session.add(self._row(caller, run_id, payload, source_client))
            await session.flush()
            # Shown before it is committed: once it is stored nothing may fail any more, because
            # clients answer a 5xx by submitting again.
            view = run_view(await _find(session, run_id))
        self._dispatcher.wake()
        return view

    async def get(self, caller: Caller, run_id: str) -> schemas.RunView:
        """Return a run.

        Raises:
            NotFound: The caller's organization has no such run.
        """
        async with self._database.reading(caller.organization_id) as session:
            return run_view(await _find(session, run_id))

    async def list(
        self, caller: Caller, wanted: RunFilter, *, cursor: str | None, size: int
    ) -> RunPageOf:
        """Return a page of the organization's runs, newest first.

        Raises:
            BadRequest: The cursor is not one of ours.
        """
        start = Cursor.decode(cursor) if cursor else None
        async with self._database.reading(caller.organization_id) as session:
            page = await read_page(
                lambda at, limit: repository.read(session, wanted, at, limit),
                repository.place,
                start,
                size,
            )
            total = await repository.count(session, wanted)
            views = [run_view(row) for row in page.items]
        shown = Page(views, page.current, page.current_backwards, page.previous, page.next)
        return RunPageOf(shown, total)

    async def cancel(self, caller: Caller, run_id: str) -> schemas.RunView:
        """Ask for a run's end, and that of its workflows; a finished run stays as it is.

        Raises:
            NotFound: The caller's organization has no such run.
        """
        async with self._database.writing(caller.organization_id) as session:
            await _find(session, run_id)
            await repository.request_cancel(session, run_id)
            tell_workflows = await self._cancel_workflows(session, run_id)
            session.expire_all()
            view = run_view(await _find(session, run_id))
        tell_workflows()
        self._dispatcher.cancel(run_id)
        self._dispatcher.wake()
        return view

    async def logs(
        self, caller: Caller, run_id: str, *, cursor: int, size: int
    ) -> schemas.LogsResponse:
        """Return the lines after the first `cursor` ones.

        Raises:
            NotFound: The caller's organization has no such run.
        """
        async with self._database.reading(caller.organization_id) as session:
            if not await repository.exists(session, run_id):
                raise _not_found(run_id)
        lines = await self._logs.read(
            self._settings.workloads_dir / run_id, cursor=cursor, size=min(size, MAX_LOG_LINES)
        )
        return schemas.LogsResponse(
            items=[schemas.LogItem(timestamp=line.timestamp, raw=line.raw) for line in lines],
            current_page=cursor,
            next_page=cursor + len(lines) if lines else None,
        )

    def _row(
        self, caller: Caller, run_id: str, payload: schemas.RunPayload, source_client: str | None
    ) -> Run:
        made_at = now()
        return Run(
            id=run_id,
            created_at=made_at,
            updated_at=made_at,
            organization_id=caller.organization_id,
            user_id=caller.user_id,
            status=RunStatus.PENDING,
            name=payload.name,
            region=payload.region,
            runtime=payload.runtime,
            resolved_version=self._offers.version(payload.version),
            payload=payload.wire(),
            source_client=(source_client or "")[:_MAX_CLIENT] or None,
            timed_out=False,
        )


async def _find(session: AsyncSession, run_id: str) -> Run:
    row = await repository.find(session, run_id)
    if row is None:
        raise _not_found(run_id)
    return row


def _not_found(run_id: str) -> NotFound:
    return NotFound(f"There is no run {run_id!r}.", suggestion="List the runs with GET /runs.")
