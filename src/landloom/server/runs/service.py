"""The rules of runs: what may be asked for, and what becomes of the asking."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from landloom.errors import Conflict, InvalidInput, NotFound, Unavailable
from landloom.server.accounts import repository as accounts
from landloom.server.accounts.keys import Caller
from landloom.server.db.doubt import InDoubt, without_doubt
from landloom.server.db.session import Database
from landloom.server.dispatch import Dispatcher
from landloom.server.kit.clock import now
from landloom.server.kit.ids import new_id
from landloom.server.kit.paging import Cursor, read_page
from landloom.server.launchers.machine import Machine
from landloom.server.launchers.runtimes import millicores
from landloom.server.logs.base import LogStore
from landloom.server.offers import Offers
from landloom.server.remains.logs import word_of_removal
from landloom.server.runs import repository, schemas
from landloom.server.runs.bounds import check_bounds
from landloom.server.runs.documents import Documents
from landloom.server.runs.doubts import Doubts, row_of
from landloom.server.runs.repository import RunFilter
from landloom.server.runs.rules import Rules
from landloom.server.runs.states import AppStatus, RunStatus
from landloom.server.runs.tables import Run
from landloom.server.runs.views import Document, encode, is_waiting
from landloom.server.settings import Settings
from landloom.server.storage.sources import Sources

MAX_LOG_LINES: Final = 1000
"""Lines of one page; a line may have 64 KiB."""
_MAX_CLIENT: Final = 255
_KEY_COLUMN: Final = Run.idempotency_key.key
"""What a database's word names that refuses a second run of one key."""

_log = structlog.get_logger("landloom.runs")


class Runs:
    """Creates, shows and cancels runs."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        logs: LogStore,
        dispatcher: Dispatcher,
        cancel_workflows: Callable[[AsyncSession, str], Awaitable[Callable[[], None]]],
        machine: Machine,
        sources: Sources,
        doubts: Doubts,
    ) -> None:
        self._millicores = millicores(settings.sizes, machine)
        self._settings = settings
        self._rules = Rules(settings, sources)
        self._offers = Offers(settings)
        self._database = database
        self._logs = logs
        self._dispatcher = dispatcher
        self._documents = Documents(database)
        self._doubts = doubts
        self._cancel_workflows = cancel_workflows

    async def create(
        self,
        caller: Caller,
        request: schemas.CreateRunPayload,
        *,
        region: str | None,
        source_client: str | None,
        idempotency_key: str | None,
    ) -> bytes:
        """Put a run into the queue, or return the one that an earlier try of the same POST made.

        Returns:
            The run as JSON. Once it is stored nothing may fail any more, because clients answer a
            5xx by submitting again: all that can is done before the commit.

        Raises:
            InvalidInput: A region, runtime, version or place of the source that is not on offer, or
                a request larger than any process takes, or one with the key of another request.
            Forbidden: The operator has not enabled the runtime.
            Conflict: Another try with this key is being stored this very moment.
            Unavailable: The database went away before the run was stored.
        """
        run_id = new_id()
        check_bounds(request)
        await self._rules.check_source(request, caller)
        written: tuple[dict[str, Any], bytes] | None = None

        async def store(again: bool) -> bytes:  # noqa: FBT001 - as `without_doubt` calls it
            nonlocal written
            async with self._database.writing(caller.organization_id, durable=True) as session:
                earlier = await self._earlier(session, caller, idempotency_key, request, region)
                if earlier is None and again and await repository.exists(session, run_id):
                    earlier = run_id
                if earlier is not None:
                    return encode(await self._shown(session, earlier))
                organization = await accounts.organization(session, caller.organization_id)
                payload = self._rules.payload(request, organization, region=region, run_id=run_id)
                row = self._row(caller, run_id, payload, source_client)
                row.idempotency_key = idempotency_key or None
                session.add(row)
                try:
                    await session.flush()
                except IntegrityError as problem:
                    if again or _KEY_COLUMN not in str(problem.orig):
                        raise
                    raise _being_stored() from problem
                made = encode(await self._shown(session, run_id))
                written = row_of(row), made
                return made

        try:
            made = await without_doubt(store, try_seconds=self._database.answer_seconds)
        except InDoubt as problem:
            if written is None:
                raise _database_away() from problem
            row, made = written
            await self._doubts.keep(row)
        self._tell_dispatcher()
        return made

    async def get(self, caller: Caller, run_id: str) -> Document:
        """Return a run.

        Raises:
            NotFound: The caller's organization has no such run.
        """
        async with self._database.glancing(caller.organization_id) as session:
            view = await self._shown(session, run_id)
        await self._place([view])
        return view

    async def list(
        self, caller: Caller, wanted: RunFilter, *, cursor: str | None, size: int
    ) -> Document:
        """Return a page of the organization's runs, newest first, as `schemas.RunPage` says.

        Raises:
            BadRequest: The cursor is not one of ours.
        """
        start = Cursor.decode(cursor) if cursor else None
        # By other conditions than the place alone, many rows may have to be looked at.
        is_quick = wanted == RunFilter()
        look = self._database.glancing if is_quick else self._database.reading
        async with look(caller.organization_id) as session:
            page = await read_page(
                lambda at, limit: repository.read(session, wanted, at, limit),
                repository.place,
                start,
                size,
            )
            items = await self._documents.page(session, page.items)
            total = page.items[0].total if page.items else None
            if total is None:
                total = await repository.count(session, wanted)
        await self._place([item for item in items if isinstance(item, dict)])
        return {
            "items": items,
            "total": total,
            "current_page": page.current,
            "current_page_backwards": page.current_backwards,
            "previous_page": page.previous,
            "next_page": page.next,
        }

    async def cancel(self, caller: Caller, run_id: str) -> Document:
        """Ask for a run's end, and that of its workflows; a finished run stays as it is.

        Raises:
            NotFound: The caller's organization has no such run.
        """
        async with self._database.writing(caller.organization_id) as session:
            if not await repository.exists(session, run_id):
                raise _not_found(run_id)
            await repository.request_cancel(session, run_id)
            tell_workflows = await self._cancel_workflows(session, run_id)
            view = await self._shown(session, run_id)
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
        async with self._database.glancing(caller.organization_id) as session:
            if not await repository.exists(session, run_id):
                raise _not_found(run_id)
        directory = self._settings.workloads_dir / run_id
        lines = await self._logs.read(directory, cursor=cursor, size=min(size, MAX_LOG_LINES))
        if not lines and not cursor:
            lines = await word_of_removal(self._settings, self._database, caller, run_id)
        return schemas.LogsResponse(
            items=[schemas.LogItem(timestamp=line.timestamp, raw=line.raw) for line in lines],
            current_page=cursor,
            next_page=cursor + len(lines) if lines else None,
        )

    async def _place(self, documents: Sequence[Document]) -> None:
        """Say of those that wait which place in the queue, among all organizations, they have."""
        waiting = {each["id"]: each["kubeApp"] for each in documents if is_waiting(each)}
        if waiting:
            async with self._database.reading(None) as session:
                for place in await repository.queue(session, self._millicores, only=waiting):
                    waiting[place.id]["message"] = f"Waiting: position {place.position} in line."

    async def _earlier(
        self,
        session: AsyncSession,
        caller: Caller,
        idempotency_key: str | None,
        request: schemas.CreateRunPayload,
        region: str | None,
    ) -> str | None:
        """Return the run that an earlier try of this request made."""
        if not idempotency_key:
            return None
        run_id = await repository.find_by_idempotency_key(session, caller.user_id, idempotency_key)
        row = await repository.find(session, run_id) if run_id is not None else None
        if row is None:
            return None
        payload = schemas.RunPayload.model_validate_json(row.payload)
        if not self._rules.made(payload, request, region=region, run_id=row.id):
            raise _another_request(idempotency_key, row.id)
        return row.id

    def _tell_dispatcher(self) -> None:
        """Wake the dispatcher, or let it find the run when it looks around, in some seconds."""
        try:
            self._dispatcher.wake()
        except Exception:  # noqa: BLE001 - the run is stored, and its client must be told so
            _log.exception("the dispatcher was not woken")

    async def _shown(self, session: AsyncSession, run_id: str) -> Document:
        found = await self._documents.one(session, run_id)
        if found is None:
            raise _not_found(run_id)
        return found

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
            app_id=new_id(),
            app_status=AppStatus.PENDING,
            app_created_at=made_at,
            spatial_units_per_hour=self._settings.sizes.find(
                payload.runtime
            ).spatial_units_per_hour,
            usd_per_spatial_unit=self._settings.usd_per_spatial_unit,
            payload=payload.wire(),
            source_client=(source_client or "")[:_MAX_CLIENT] or None,
            timed_out=False,
        )


def _being_stored() -> Conflict:
    return Conflict(
        "Another try with this Idempotency-Key is being stored.",
        suggestion="Try again in a moment: it will answer with that run.",
    )


def _another_request(idempotency_key: str, run_id: str) -> InvalidInput:
    return InvalidInput(
        f"The Idempotency-Key {idempotency_key!r} was sent with another request before, which made"
        f" the run {run_id}.",
        suggestion="Choose a new key for each run, and send the same one for its tries alone.",
        field="Idempotency-Key",
    )


def _database_away() -> Unavailable:
    return Unavailable(
        "The database does not answer; the run was not stored.",
        suggestion="Submit it again in a moment.",
    )


def _not_found(run_id: str) -> NotFound:
    return NotFound(f"There is no run {run_id!r}.", suggestion="List the runs with GET /runs.")
