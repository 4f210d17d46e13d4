"""The routes of an organization's use."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from landloom.server.accounts.auth import having
from landloom.server.accounts.keys import Caller
from landloom.server.kit.clock import WireInstant
from landloom.server.usage import schemas
from landloom.server.usage.service import Usage

router = APIRouter(tags=["usage"])

type _Reader = Annotated[Caller, having("usage:read")]


@router.get(
    "/usage/history",
    operation_id="getWorkloadHistory",
    summary="List workload history",
    response_model=list[schemas.WorkloadHistoryItem],
)
async def read_history(
    request: Request,
    caller: _Reader,
    start_time: Annotated[WireInstant | None, Query(alias="startTime")] = None,
    end_time: Annotated[WireInstant | None, Query(alias="endTime")] = None,
    workload_type: Annotated[schemas.WorkloadType | None, Query(alias="workloadType")] = None,
) -> Response:
    """Return the runs and workflows that were submitted within a time, newest first.

    Without `startTime` it is the 30 days before `endTime`, without that, now. At most the newest
    10,000 are returned: ask again with `endTime` the `createTime` of the last one.
    """
    found = await _usage(request).history(caller, start_time, end_time, workload_type)
    return Response(found, media_type="application/json")


@router.get(
    "/usage/workloads/chart",
    operation_id="getWorkloadUsageChart",
    summary="Read usage over time",
)
async def read_chart(
    request: Request,
    caller: _Reader,
    timerange: schemas.TimerangeOption = schemas.TimerangeOption.DAY,
) -> list[schemas.ChartSlice]:
    """Return the Spatial Units of runs by user, region and runtime, oldest slice first."""
    return await _usage(request).chart(caller, timerange)


@router.post("/usage/costs", operation_id="getWorkloadCosts", summary="Read costs of workloads")
async def read_costs(
    request: Request, caller: _Reader, payload: schemas.GetKubeAppCostsInput
) -> schemas.WorkloadCostsOutput:
    """Return what each workload has cost, by the id of its `kubeApp`."""
    return await _usage(request).costs(caller, payload)


def _usage(request: Request) -> Usage:
    service: Usage = request.app.state.services.usage
    return service
