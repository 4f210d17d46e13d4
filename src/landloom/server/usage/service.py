"""The use of an organization: its workloads, its Spatial Units over time, its costs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from landloom.errors import InvalidInput
from landloom.server.accounts.keys import Caller
from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.runs.states import RunStatus
from landloom.server.usage import repository, schemas
from landloom.server.usage.repository import PastRun, PastWorkflow, RunFacts
from landloom.server.usage.schemas import TimerangeOption, WorkloadStatus, WorkloadType
from landloom.server.usage.units import decimal_text, spatial_units

HISTORY_DAYS: Final = 30
"""How far the history goes back where nobody says."""
MAX_ITEMS: Final = 10_000
"""Of the history; the newest ones of its time."""

_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SLICES: Final[Mapping[TimerangeOption, tuple[timedelta, int]]] = {
    TimerangeOption.DAY: (timedelta(hours=1), 24),
    TimerangeOption.WEEK: (timedelta(hours=6), 28),
    TimerangeOption.MONTH: (timedelta(days=1), 30),
}
"""Length and number of a chart's slices."""

_STATUSES: Final[Mapping[str, WorkloadStatus]] = {
    "PENDING": "PENDING",
    "RUNNING": "RUNNING",
    "COMPLETED": "SUCCEEDED",
    "SUCCEEDED": "SUCCEEDED",
    "FAILED": "FAILED",
    "CANCELLED": "FAILED",
}
_UNFINISHED: Final = {"PENDING", "RUNNING"}


class Usage:
    """Shows what an organization used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def history(
        self,
        caller: Caller,
        start: datetime | None,
        end: datetime | None,
        kind: WorkloadType | None,
    ) -> list[schemas.WorkloadHistoryItem]:
        """Return the workloads that were submitted within a time, newest first.

        Raises:
            InvalidInput: The time ends before it begins.
        """
        end = end or now()
        start = start or max(_EARLIEST, end - timedelta(days=HISTORY_DAYS))
        if start > end:
            raise InvalidInput("startTime lies behind endTime.", field="startTime")
        items: list[schemas.WorkloadHistoryItem] = []
        async with self._database.reading(caller.organization_id) as session:
            if kind in {None, WorkloadType.RUN}:
                reasons = await repository.failures_between(session, start, end)
                runs = await repository.runs_between(session, start, end, MAX_ITEMS)
                items += [_run_item(run, reasons.get(run.id)) for run in runs]
            if kind in {None, WorkloadType.RASTERFLOW_RUN}:
                workflows = await repository.workflows_between(session, start, end, MAX_ITEMS)
                items += map(_workflow_item, workflows)
        items.sort(key=lambda item: (item.create_time, item.id), reverse=True)
        return items[:MAX_ITEMS]

    async def chart(self, caller: Caller, timerange: TimerangeOption) -> list[schemas.ChartSlice]:
        """Return the Spatial Units that runs used up, slice by slice up to now, oldest first."""
        length, count = _SLICES[timerange]
        end = now()
        edges = [end - length * number for number in range(count, -1, -1)]
        async with self._database.reading(caller.organization_id) as session:
            runs = await repository.runs_alive_since(session, edges[0])
            people = await repository.people(session)
        return await asyncio.to_thread(_sliced, runs, edges, people)

    async def costs(
        self, caller: Caller, request: schemas.GetKubeAppCostsInput
    ) -> schemas.WorkloadCostsOutput:
        """Return what each of these workloads has cost; every id is answered."""
        async with self._database.reading(caller.organization_id) as session:
            found = await repository.runs_of_apps(session, request.kube_app_ids)
        known = {run.app_id: run for run in found}
        at = now()
        return schemas.WorkloadCostsOutput(
            costs={app_id: _cost(app_id, known.get(app_id), at) for app_id in request.kube_app_ids}
        )


def _cost(app_id: str, run: RunFacts | None, at: datetime) -> schemas.WorkloadCost:
    units = spatial_units(run, run.started_at or at, at) if run is not None else None
    if run is None or units is None:
        return schemas.WorkloadCostUnavailable(kube_app_id=app_id, reason="not_found")
    return schemas.WorkloadCostAvailable(
        kube_app_id=app_id,
        organization_id=run.organization_id,
        cost=decimal_text(units * (run.usd_per_spatial_unit or 0.0)),
        spatial_units=decimal_text(units),
        status="live" if run.completed_at is None else "final",
        settled_at=run.completed_at,
        last_evaluated_at=run.completed_at or at,
    )


def _sliced(
    runs: Sequence[RunFacts], edges: Sequence[datetime], people: Mapping[str, str]
) -> list[schemas.ChartSlice]:
    used: list[dict[tuple[str, str, str], float]] = [{} for _ in edges[1:]]
    for run in runs:
        key = (people.get(run.user_id, run.user_id), run.region, run.runtime)
        for start, end, slot in zip(edges, edges[1:], used, strict=False):
            if units := spatial_units(run, start, end):
                slot[key] = slot.get(key, 0.0) + units
    return [
        schemas.ChartSlice(start=start, end=end, usage=_slices(slot))
        for start, end, slot in zip(edges, edges[1:], used, strict=False)
    ]


def _slices(used: Mapping[tuple[str, str, str], float]) -> dict[str, schemas.UsageSlice]:
    return {
        f"{user}/{region}/RUN/{runtime}": schemas.UsageSlice(
            key=schemas.UsageKey(user=user, region=region, app_type="RUN", runtime=runtime),
            usage=math.ceil(units),
        )
        for (user, region, runtime), units in sorted(used.items())
    }


def _run_item(run: PastRun, reason: str | None) -> schemas.WorkloadHistoryItem:
    return schemas.WorkloadHistoryItem(
        id=run.app_id or run.id,
        create_time=run.created_at,
        update_time=run.updated_at,
        workload_type=WorkloadType.RUN,
        name=run.name,
        status=_status(run),
        created_by_id=run.user_id,
        start_time=run.started_at,
        end_time=run.completed_at,
        message=reason,
        source_client=_first_hop(run.source_client),
        source_client_chain=run.source_client,
        app_type="RUN",
        runtime_id=run.runtime,
        region_name=run.region,
        run_id=run.id,
        run_name=run.name,
        run_status=RunStatus(run.status),
    )


def _workflow_item(row: PastWorkflow) -> schemas.WorkloadHistoryItem:
    return schemas.WorkloadHistoryItem(
        id=row.id,
        create_time=row.created_at,
        update_time=row.updated_at,
        workload_type=WorkloadType.RASTERFLOW_RUN,
        name=row.kind,
        status=_status(row),
        created_by_id=row.user_id,
        start_time=row.started_at,
        end_time=row.completed_at,
        message=row.message or None,
        run_id=row.run_id,
        workflow_name=row.kind,
        execution_id=row.id,
    )


def _status(row: PastRun | PastWorkflow) -> WorkloadStatus:
    if row.cancel_requested_at is not None and row.status in _UNFINISHED:
        return "CANCELLING"
    return _STATUSES.get(row.status, "UNKNOWN")


def _first_hop(chain: str | None) -> str | None:
    """Return the name in `client=NAME;ver=...`, of the first of the hops that `, ` parts."""
    for field in (chain or "").split(",")[0].split(";"):
        name, _, value = field.partition("=")
        if name.strip() == "client" and value.strip():
            return value.strip()
    return None
