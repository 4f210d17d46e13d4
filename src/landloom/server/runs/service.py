"""The rules of runs: what may be asked for, and what becomes of the asking."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from landloom.errors import Forbidden, InvalidInput, NotFound
from landloom.server.accounts import repository as accounts
from landloom.server.accounts.keys import Caller
from landloom.server.db.session import Database
from landloom.server.dispatch import Dispatcher
from landloom.server.kit.clock import now
from landloom.server.kit.ids import new_id
from landloom.server.kit.paging import Cursor, Page, read_page
from landloom.server.launchers.runtimes import find_runtime
from landloom.server.logs.base import LogStore
from landloom.server.runs import repository, schemas
from landloom.server.runs.repository import RunFilter
from landloom.server.runs.states import RunStatus
from landloom.server.runs.tables import Run
from landloom.server.runs.views import run_view
from landloom.server.settings import Settings
from landloom.server.storage.layout import UserStorage

MAX_LOG_LINES: Final = 1000
"""Lines of one page; a line may have 64 KiB."""


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
        made_at = now()
        async with self._database.writing(caller.organization_id) as session:
            organization = await accounts.organization(session, caller.organization_id)
            payload = schemas.RunPayload(
                runtime=self._runtime(
                    request.runtime
                    or organization.default_runtime
                    or self._settings.default_runtime
                ),
                region=self._region(
                    region or organization.default_region or self._settings.default_region
                ),
                version=request.version or "latest",
                name=request.name or f"run-{run_id}",
                timeout_seconds=min(request.timeout_seconds, self._settings.max_alive_hours * 3600),
                run_python=request.run_python,
                run_jar=request.run_jar,
                environment=request.environment,
            )
            self._check_source(caller, payload)
            session.add(
                Run(
                    id=run_id,
                    created_at=made_at,
                    updated_at=made_at,
                    organization_id=caller.organization_id,
                    user_id=caller.user_id,
                    status=RunStatus.PENDING,
                    name=payload.name,
                    region=payload.region,
                    runtime=payload.runtime,
                    resolved_version=self._version(payload.version),
                    payload=payload.wire(),
                    source_client=(source_client or "")[:255] or None,
                    timed_out=False,
                )
            )
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
            self.folder(run_id), cursor=cursor, size=min(size, MAX_LOG_LINES)
        )
        return schemas.LogsResponse(
            items=[schemas.LogItem(timestamp=line.timestamp, raw=line.raw) for line in lines],
            current_page=cursor,
            next_page=cursor + len(lines) if lines else None,
        )

    def folder(self, run_id: str) -> Path:
        """Return the folder of a run's workload."""
        return self._settings.workloads_dir / run_id

    def _runtime(self, name: str) -> str:
        runtime = find_runtime(name).name
        enabled = self._settings.enabled_runtimes
        if enabled and runtime not in enabled:
            raise Forbidden(
                f"The runtime {runtime!r} is not enabled here.",
                suggestion=f"Choose one of {', '.join(enabled)}.",
                field="runtime",
            )
        return runtime

    def _region(self, name: str) -> str:
        if name not in self._settings.allowed_regions:
            raise InvalidInput(
                f"There is no region {name!r} here.",
                suggestion=f"Choose one of {', '.join(self._settings.allowed_regions)}.",
                field="region",
            )
        return name

    def _version(self, name: str) -> str:
        versions = self._settings.versions
        if name in versions.values():
            return name
        if name not in versions:
            raise InvalidInput(
                f"There is no version {name!r} here.",
                suggestion=f"Choose one of {', '.join(sorted({*versions, *versions.values()}))}.",
                field="version",
            )
        return versions[name]

    def _check_source(self, caller: Caller, payload: schemas.RunPayload) -> None:
        source = payload.run_python or payload.run_jar
        storage = UserStorage(self._settings.bucket, caller.organization_id, caller.user_id)
        if source is not None and not storage.contains(source.uri):
            raise InvalidInput(
                f"{source.uri} does not lie in the organization's storage.",
                suggestion=f"Upload it under {storage.user_path}",
                field="runPython.uri" if payload.run_python else "runJar.uri",
            )


async def _find(session: AsyncSession, run_id: str) -> Run:
    row = await repository.find(session, run_id)
    if row is None:
        raise _not_found(run_id)
    return row


def _not_found(run_id: str) -> NotFound:
    return NotFound(f"There is no run {run_id!r}.", suggestion="List the runs with GET /runs.")
