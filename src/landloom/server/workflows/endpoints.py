"""The routes of raster workflows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response, status
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent

from landloom.errors import InvalidInput
from landloom.server.accounts.auth import having
from landloom.server.accounts.keys import Caller
from landloom.server.problems import NO_JSON
from landloom.server.workflows.service import Workflows
from landloom.wire.progress import ProgressEvent
from landloom.wire.results import WorkflowView

router = APIRouter(tags=["rasterflow"])

type _Creator = Annotated[Caller, having("workflows:create")]
type _Reader = Annotated[Caller, having("workflows:read")]
type _Canceller = Annotated[Caller, having("workflows:cancel")]

_PING_SECONDS = 10
_MAX_SEQ_DIGITS = 18


class WorkflowList(BaseModel):
    """Workflows, newest first."""

    items: list[WorkflowView]


@router.post(
    "/rasterflow/runs",
    operation_id="createRasterflowRun",
    summary="Submit a raster workflow",
    status_code=status.HTTP_201_CREATED,
)
async def create_workflow(
    request: Request,
    caller: _Creator,
    body: Annotated[Any, Body()],
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> WorkflowView:
    """Put a workflow into the queue."""
    if isinstance(body, bytes):
        raise InvalidInput(NO_JSON)
    return await _workflows(request).create(caller, body, idempotency_key=idempotency_key)


@router.get("/rasterflow/runs", operation_id="listRasterflowRuns", summary="List raster workflows")
async def list_workflows(
    request: Request, caller: _Reader, run_id: str | None = None
) -> WorkflowList:
    """Return the organization's workflows, or those of one run."""
    return WorkflowList(items=await _workflows(request).list(caller, run_id=run_id or None))


@router.get(
    "/rasterflow/runs/{run_id}",
    operation_id="getRasterflowRun",
    summary="Read one raster workflow",
)
async def read_workflow(request: Request, caller: _Reader, run_id: str) -> WorkflowView:
    """Return a workflow."""
    return await _workflows(request).get(caller, run_id)


@router.delete(
    "/rasterflow/runs/{run_id}",
    operation_id="cancelRasterflowRun",
    summary="Ask for the end of a raster workflow",
    status_code=status.HTTP_204_NO_CONTENT,
)
async def cancel_workflow(request: Request, caller: _Canceller, run_id: str) -> Response:
    """Ask for the end of a workflow; return at once."""
    await _workflows(request).cancel(caller, run_id)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


@router.get(
    "/rasterflow/runs/{run_id}/events",
    operation_id="followRasterflowRun",
    summary="Follow the progress of a raster workflow",
    response_class=EventSourceResponse,
)
async def follow_workflow(
    request: Request,
    caller: _Reader,
    run_id: str,
    after: Annotated[int, Query(ge=-1)] = -1,
    last_event_id: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> EventSourceResponse:
    """Send the events behind `after`, then those that come, then `end` with the workflow."""
    if last_event_id and last_event_id.isdigit() and len(last_event_id) <= _MAX_SEQ_DIGITS:
        # What a browser sends when it connects anew.
        after = max(after, int(last_event_id))
    events = await _workflows(request).follow(caller, run_id, after=after)
    return EventSourceResponse(_sent(events), ping=_PING_SECONDS)


async def _sent(
    events: AsyncIterator[ProgressEvent | WorkflowView],
) -> AsyncIterator[ServerSentEvent]:
    async for event in events:
        if isinstance(event, ProgressEvent):
            yield ServerSentEvent(data=event.model_dump_json(), event="progress", id=str(event.seq))
        else:
            yield ServerSentEvent(data=event.model_dump_json(), event="end")


def _workflows(request: Request) -> Workflows:
    service: Workflows = request.app.state.services.workflows
    return service
