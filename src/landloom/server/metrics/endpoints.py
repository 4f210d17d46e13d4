"""The routes of a run's metrics and of the operator's."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from landloom.server.accounts.auth import having
from landloom.server.accounts.keys import Caller
from landloom.server.metrics.schemas import RunMetricsResponse
from landloom.server.metrics.service import Metrics
from landloom.server.services import Services

router = APIRouter()


@router.get(
    "/runs/{run_id}/metrics",
    operation_id="getJobRunMetrics",
    summary="Read what a run uses",
    tags=["runs"],
)
async def read_metrics(
    request: Request, caller: Annotated[Caller, having("runs:read")], run_id: str
) -> RunMetricsResponse:
    """Return series and latest values; they stay after the run's end."""
    service: Metrics = request.app.state.services.metrics
    return await service.of_run(caller, run_id)


@router.get(
    "/metrics",
    operation_id="getPlatformMetrics",
    summary="Read the platform's figures for Prometheus",
    tags=["platform"],
    response_class=PlainTextResponse,
    openapi_extra={"x-exclude-from-cli": True},
)
async def read_platform_metrics(
    request: Request, _caller: Annotated[Caller, having("platform:read")]
) -> Response:
    """Return the figures of this server and of its queue in Prometheus' text format."""
    services: Services = request.app.state.services
    figures = await services.meters.exposition(services.database, services.settings.data_dir)
    return Response(figures, media_type=CONTENT_TYPE_LATEST)
