"""The routes of runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response, status
from pydantic import WithJsonSchema

from landloom.errors import InvalidInput
from landloom.server.accounts.auth import having
from landloom.server.accounts.keys import Caller
from landloom.server.kit.clock import WireInstant
from landloom.server.runs import schemas
from landloom.server.runs.repository import RunFilter
from landloom.server.runs.service import Runs
from landloom.server.runs.states import RunStatus
from landloom.server.runs.views import Document, encode

router = APIRouter(tags=["runs"])

_MAX_DIGITS = 30
"""Of a log cursor; Python refuses to read numbers of thousands of digits."""

type _Creator = Annotated[Caller, having("runs:create")]
type _Reader = Annotated[Caller, having("runs:read")]
type _Canceller = Annotated[Caller, having("runs:cancel")]


@router.post(
    "/runs",
    operation_id="createJobRun",
    summary="Submit a run",
    status_code=status.HTTP_201_CREATED,
    response_model=schemas.RunView,
)
async def create_run(
    request: Request,
    caller: _Creator,
    payload: schemas.CreateRunPayload,
    region: str | None = None,
    x_wherobots_client: Annotated[str | None, Header(include_in_schema=False)] = None,
    idempotency_key: Annotated[str | None, Header(max_length=255, include_in_schema=False)] = None,
) -> Response:
    """Put a run into the queue.

    Tries of one POST that carry the same `Idempotency-Key` header make one run: each is answered
    with it.
    """
    made = await _runs(request).create(
        caller,
        payload,
        region=region or None,
        source_client=x_wherobots_client,
        idempotency_key=idempotency_key,
    )
    return Response(made, status.HTTP_201_CREATED, media_type="application/json")


@router.get(
    "/runs",
    operation_id="listJobRuns",
    summary="List runs of the organization",
    response_model=schemas.RunPage,
)
async def list_runs(
    request: Request,
    caller: _Reader,
    name: Annotated[
        str | None,
        Query(max_length=255, pattern=r"^[a-zA-Z0-9_\-\.]*\*?[a-zA-Z0-9_\-\.]*$"),
    ] = None,
    created_after: Annotated[WireInstant | None, Query()] = None,
    status: Annotated[list[RunStatus] | None, Query()] = None,
    region: str | None = None,
    cursor: str | None = None,
    size: Annotated[int, Query(ge=0, le=100)] = 50,
) -> Response:
    """Return a page of runs, newest first."""
    wanted = RunFilter(
        name=name or None,
        created_after=created_after,
        statuses=tuple(status or ()),
        region=region or None,
    )
    return _json(await _runs(request).list(caller, wanted, cursor=cursor, size=size))


@router.get(
    "/runs/{run_id}",
    operation_id="getJobRun",
    summary="Read one run",
    response_model=schemas.RunView,
)
async def read_run(request: Request, caller: _Reader, run_id: str) -> Response:
    """Return a run."""
    return _json(await _runs(request).get(caller, run_id))


@router.post(
    "/runs/{run_id}/cancel",
    operation_id="cancelJobRun",
    summary="Ask for cancellation",
    response_model=schemas.RunView,
)
async def cancel_run(request: Request, caller: _Canceller, run_id: str) -> Response:
    """Ask for the end of a run; return at once."""
    return _json(await _runs(request).cancel(caller, run_id))


@router.get("/runs/{run_id}/logs", operation_id="getJobRunLogs", summary="Read a page of log lines")
async def read_logs(
    request: Request,
    caller: _Reader,
    run_id: str,
    size: Annotated[int, Query(), WithJsonSchema({"type": "integer", "default": 100})] = 100,
    cursor: str | None = None,
) -> schemas.LogsResponse:
    """Return lines from a position on."""
    if size <= 0:
        raise InvalidInput(f"size: {size} is not a positive number.", field="size")
    return await _runs(request).logs(caller, run_id, cursor=_position(cursor), size=size)


def _json(document: Document) -> Response:
    return Response(encode(document), media_type="application/json")


def _position(cursor: str | None) -> int:
    text = (cursor or "0").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise InvalidInput(
            f"cursor: {text[:80]!r} is not a position in a log.",
            suggestion="Pass next_page of the answer before, or nothing to start anew.",
            field="cursor",
        )
    return int(text)


def _runs(request: Request) -> Runs:
    service: Runs = request.app.state.services.runs
    return service
