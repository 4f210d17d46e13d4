"""Bodies of `/usage`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from landloom.server.kit.camel import CamelAnswer, CamelModel
from landloom.server.kit.clock import WireTime
from landloom.server.kit.text import PlainText
from landloom.server.runs.states import RunStatus


class WorkloadType(StrEnum):
    """The public kinds of workloads; those that come up here are the last two."""

    JUPYTER = "JUPYTER"
    SQL_SESSION = "SQL_SESSION"
    RUN = "RUN"
    RASTERFLOW_RUN = "RASTERFLOW_RUN"


type AppType = Literal["JUPYTER", "SQL_SESSION", "RUN"]
type WorkloadStatus = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLING", "UNKNOWN"]


class WorkloadHistoryItem(CamelAnswer):
    """One workload."""

    id: str
    create_time: WireTime
    update_time: WireTime
    workload_type: WorkloadType
    name: str | None = None
    status: WorkloadStatus
    """A cancelled workload did not succeed: it is FAILED, and `runStatus` says CANCELLED."""
    created_by_id: str | None = None
    start_time: WireTime | None = None
    end_time: WireTime | None = None
    message: str | None = None
    source_client: str | None = None
    """The first hop's name in what clients say of themselves; advisory."""
    source_client_chain: str | None = None
    """All that clients said of themselves; advisory."""
    app_type: AppType | None = None
    runtime_id: str | None = None
    region_name: str | None = None
    run_id: str | None = None
    """A run's own id, or that of the run that a workflow belongs to."""
    run_name: str | None = None
    run_status: RunStatus | None = None
    workflow_name: str | None = None
    workflow_project: str | None = None
    execution_id: str | None = None


class TimerangeOption(StrEnum):
    """How far back a chart looks."""

    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"


class UsageKey(BaseModel):
    """Whose use it is, where, and of what."""

    user: str
    region: str
    app_type: AppType
    runtime: str


class UsageSlice(BaseModel):
    """What one key used up within a slice of time."""

    key: UsageKey
    usage: int
    """Spatial Units, rounded up to whole ones."""


class ChartSlice(BaseModel):
    """A slice of time. Who used nothing in it is absent."""

    start: WireTime
    end: WireTime
    usage: dict[str, UsageSlice]


class GetKubeAppCostsInput(CamelModel):
    """The body of `POST /usage/costs`."""

    kube_app_ids: Annotated[list[PlainText], Field(min_length=1, max_length=100)]
    """At most 100 ids, as `kubeApp.id` of runs shows them."""


type DecimalText = Annotated[str, Field(pattern=r"^\d+(\.\d+)?$")]


class WorkloadCostAvailable(BaseModel):
    """What a workload has cost until now, or in all."""

    kind: Literal["available"] = "available"
    kube_app_id: str
    organization_id: str
    cost: DecimalText
    """0 where the operator has set no price."""
    currency: Literal["USD"] = "USD"
    spatial_units: DecimalText
    status: Literal["live", "settling", "final"]
    settled_at: WireTime | None
    last_evaluated_at: WireTime


class WorkloadCostUnavailable(BaseModel):
    """Why a cost is not told."""

    kind: Literal["unavailable"] = "unavailable"
    kube_app_id: str
    reason: Literal["not_found", "upstream_error", "upstream_rate_limit"]


type WorkloadCost = Annotated[
    WorkloadCostAvailable | WorkloadCostUnavailable, Field(discriminator="kind")
]


class WorkloadCostsOutput(BaseModel):
    """Each id that was asked for, with its cost."""

    costs: dict[str, WorkloadCost]
