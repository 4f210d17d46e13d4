"""The rules of raster workflows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from landloom.errors import BadRequest, Conflict, Forbidden, InvalidInput, NotFound
from landloom.runner.folder import EXIT
from landloom.server.accounts.keys import Caller
from landloom.server.db.session import Database
from landloom.server.dispatch import Dispatcher
from landloom.server.kit.clock import now
from landloom.server.kit.ids import new_id
from landloom.server.problems import InvalidFields, describe_field_errors
from landloom.server.settings import Settings
from landloom.server.storage.layout import SCHEME, UserStorage
from landloom.server.storage.quota.service import Quota
from landloom.server.storage.sources import Sources
from landloom.server.workflows import repository
from landloom.server.workflows.folder import ProgressReader, last_progress
from landloom.server.workflows.tables import Workflow
from landloom.wire.enums import WorkflowStatus
from landloom.wire.progress import ProgressEvent
from landloom.wire.requests import WorkflowRequest, workflow_request
from landloom.wire.results import WorkflowError, WorkflowResult, WorkflowView

_LOOK_SECONDS: Final = 0.15
"""How often a follower's progress file is looked at."""
_ID_LENGTH: Final = 20
"""Letters and digits: scripts that look for ids in a log know them by this length."""
_STATUS_EVERY: Final = 6
"""Looks between two questions to the database about a workflow that shows no end."""


class Workflows:
    """Creates, shows, follows and cancels raster workflows."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        dispatcher: Dispatcher,
        sources: Sources,
        quota: Quota,
    ) -> None:
        self._settings = settings
        self._database = database
        self._dispatcher = dispatcher
        self._sources = sources
        self._quota = quota

    async def create(
        self, caller: Caller, given: Any, *, idempotency_key: str | None
    ) -> WorkflowView:
        """Put a workflow into the queue; the same idempotency key gets the same workflow.

        Raises:
            InvalidFields: The request is not one.
            Conflict: The run whose key this is has ended.
            QuotaExceeded: As much is stored as may be.
        """
        request = _validated(given)
        try:
            row = await self._insert(caller, request, idempotency_key)
        except IntegrityError:
            # Another try of the same POST was faster.
            row = await self._insert(caller, request, idempotency_key)
        self._dispatcher.wake()
        return await self._view(row, None)

    async def get(self, caller: Caller, workflow_id: str) -> WorkflowView:
        """Return a workflow.

        Raises:
            NotFound: The caller's organization has no such workflow.
        """
        async with self._database.reading(caller.organization_id) as session:
            row = await _find(session, workflow_id)
            before = await self._before(session, row)
        return await self._view(row, before)

    async def list(self, caller: Caller, *, run_id: str | None) -> list[WorkflowView]:
        """Return the organization's workflows, or those of one run, newest first."""
        async with self._database.reading(caller.organization_id) as session:
            rows = await repository.newest(session, run_id)
        return [await self._view(row, None) for row in rows]

    async def cancel(self, caller: Caller, workflow_id: str) -> None:
        """Ask for a workflow's end; a finished one stays as it is.

        Raises:
            NotFound: The caller's organization has no such workflow.
        """
        async with self._database.writing(caller.organization_id) as session:
            await _find(session, workflow_id)
            ids = await repository.request_cancel(session, repository.with_id(workflow_id))
        self._tell(ids)

    async def cancel_of_run(self, session: AsyncSession, run_id: str) -> Callable[[], None]:
        """Ask for the end of a run's workflows; call what this returns after the commit."""
        ids = await repository.request_cancel(session, repository.of_run(run_id))
        return lambda: self._tell(ids)

    async def follow(
        self, caller: Caller, workflow_id: str, *, after: int
    ) -> AsyncIterator[ProgressEvent | WorkflowView]:
        """Yield the events behind `after` as they come, and at last the finished workflow.

        Raises:
            NotFound: The caller's organization has no such workflow.
        """
        view = await self.get(caller, workflow_id)
        return self._follow(caller, view, after)

    async def _follow(
        self, caller: Caller, view: WorkflowView, after: int
    ) -> AsyncIterator[ProgressEvent | WorkflowView]:
        directory = self._directory(view.id)
        reader = ProgressReader(directory, after=after)
        looks = 0
        while not view.status.final:
            for event in await asyncio.to_thread(reader.read):
                yield event
            looks += 1
            if looks % _STATUS_EVERY == 0 or (directory / EXIT).exists():
                view = await self.get(caller, view.id)
            if not view.status.final:
                await asyncio.sleep(_LOOK_SECONDS)
        # The worker wrote its last events before it ended, so they are all here by now.
        while events := await asyncio.to_thread(reader.read):
            for event in events:
                yield event
        yield view

    async def _insert(
        self, caller: Caller, request: WorkflowRequest, idempotency_key: str | None
    ) -> Workflow:
        # First of all: the rules may have changed since it was made.
        earlier = await self._made_before(caller, idempotency_key)
        if earlier is not None:
            return earlier
        made_at = now()
        workflow_id = new_id(_ID_LENGTH)
        output_uri = await self._output_uri(caller, request, workflow_id)
        async with self._database.writing(caller.organization_id) as session:
            if caller.run_id and not await repository.run_is_open(session, caller.run_id):
                raise Conflict(
                    f"The run {caller.run_id!r} has ended, or is ending.",
                    suggestion="Use a key of your own to start a workflow outside of a run.",
                )
            row = Workflow(
                id=workflow_id,
                created_at=made_at,
                updated_at=made_at,
                organization_id=caller.organization_id,
                user_id=caller.user_id,
                run_id=caller.run_id,
                idempotency_key=idempotency_key or None,
                status=WorkflowStatus.PENDING,
                kind=request.kind,
                request=request.model_dump(mode="json"),
                output_uri=output_uri,
                temporary=request.bucket is None,
                message="Waiting for its turn.",
            )
            session.add(row)
            await session.flush()
        return row

    async def _made_before(self, caller: Caller, idempotency_key: str | None) -> Workflow | None:
        """Return the workflow that an earlier try of the same POST made."""
        if not idempotency_key:
            return None
        async with self._database.reading(caller.organization_id) as session:
            return await repository.find_by_idempotency_key(
                session, caller.user_id, idempotency_key
            )

    async def _output_uri(self, caller: Caller, request: WorkflowRequest, workflow_id: str) -> str:
        """Return the workflow's own folder: where it was asked for, else in temporary storage.

        One folder a workflow, or the second one would meet the stores of the first.
        """
        if request.bucket is None:
            storage = UserStorage(self._settings.bucket, caller.organization_id, caller.user_id)
            await self._quota.require_room(caller)
            return storage.workflow_path(workflow_id)
        folder = request.bucket.rstrip("/")
        bucket, _, prefix = folder.removeprefix(SCHEME).partition("/")
        if not folder.startswith(SCHEME) or not bucket:
            raise InvalidInput(
                f"bucket: {request.bucket!r} is not of the form s3://bucket/prefix.",
                field="bucket",
            )
        try:
            source = await self._sources.find(caller, bucket, f"{prefix}/" if prefix else "")
        except (BadRequest, Forbidden, InvalidInput) as problem:
            raise InvalidInput(
                f"bucket: {problem.message}", suggestion=problem.suggestion, field="bucket"
            ) from problem
        if source.protection(f"{prefix}/{workflow_id}/".lstrip("/")).upload:
            raise InvalidInput(
                f"bucket: nothing may be written to {request.bucket}.",
                suggestion=f"Name a folder under {source.path}"
                if source.storage
                else "Register it with accessType READ_WRITE.",
                field="bucket",
            )
        if source.storage is not None:
            await self._quota.require_room(caller)
        return f"{folder}/{workflow_id}/"

    async def _before(self, session: AsyncSession, row: Workflow) -> int | None:
        if row.status != WorkflowStatus.PENDING:
            return None
        return await repository.waiting_before(session, row)

    async def _view(self, row: Workflow, before: int | None) -> WorkflowView:
        progress = None
        if row.status != WorkflowStatus.PENDING:
            progress = await asyncio.to_thread(last_progress, self._directory(row.id))
        message = row.message
        if before:
            message = f"Waiting for its turn; {before} before it."
        elif progress is not None and row.status == WorkflowStatus.RUNNING:
            message = progress.message
        return WorkflowView(
            id=row.id,
            run_id=row.run_id,
            kind=row.kind,
            status=WorkflowStatus(row.status),
            create_time=row.created_at,
            update_time=row.updated_at,
            start_time=row.started_at,
            complete_time=row.completed_at,
            message=message,
            progress=progress,
            result=WorkflowResult.model_validate(row.result) if row.result else None,
            error=WorkflowError.model_validate(row.error) if row.error else None,
            request=row.request,
        )

    def _tell(self, ids: Sequence[str]) -> None:
        for each in ids:
            self._dispatcher.cancel(each)
        self._dispatcher.wake()

    def _directory(self, workflow_id: str) -> Path:
        return self._settings.workloads_dir / workflow_id


def _validated(given: Any) -> WorkflowRequest:
    try:
        text = json.dumps(given, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError as problem:
        raise InvalidInput(
            f"The request holds what JSON cannot carry: {type(problem).__name__}.",
            suggestion="Leave out NaN, infinity and half surrogate pairs.",
        ) from problem
    if "\\u0000" in text:
        raise InvalidInput("The request holds a NUL character.")
    try:
        return workflow_request.validate_python(given)
    except ValidationError as problem:
        raise InvalidFields(describe_field_errors(_without_kind(problem, given))) from problem


def _without_kind(problem: ValidationError, given: Any) -> list[dict[str, Any]]:
    """Return the errors with the paths that a client knows: a union adds the kind in front."""
    kind = given.get("kind") if isinstance(given, dict) else None
    errors: list[dict[str, Any]] = [dict(error) for error in problem.errors()]
    for error in errors:
        if error["loc"][:1] == (kind,):
            error["loc"] = error["loc"][1:]
    return errors


async def _find(session: AsyncSession, workflow_id: str) -> Workflow:
    row = await repository.find(session, workflow_id)
    if row is None:
        raise NotFound(
            f"There is no workflow {workflow_id!r}.",
            suggestion="List them with GET /rasterflow/runs.",
        )
    return row
