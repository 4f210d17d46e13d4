"""The route of a run's metrics."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request

from landloom.server.accounts.auth import having
from landloom.server.accounts.keys import Caller
from landloom.server.metrics.schemas import RunMetricsResponse
from landloom.server.metrics.service import Metrics

router = APIRouter(tags=["runs"])


@router.get(
    "/runs/{run_id}/metrics",
    operation_id="getJobRunMetrics",
    summary="Read what a run uses",
)
async def read_metrics(
    request: Request, caller: Annotated[Caller, having("runs:read")], run_id: str
) -> RunMetricsResponse:
    """Return series and latest values; they stay after the run's end."""
    service: Metrics = request.app.state.services.metrics
    return await service.of_run(caller, run_id)
