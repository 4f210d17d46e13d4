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
from landloom.server.usage import repository, schemas
from landloom.server.usage.repository import PastRun, PastWorkflow, RunFacts, SliceUse
from landloom.server.usage.schemas import TimerangeOption, WorkloadType
from landloom.server.usage.units import decimal_text, spatial_units
from landloom.server.usage.views import history_document

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
    ) -> bytes:
        """Return the workloads that were submitted within a time, newest first, as JSON.

        Raises:
            InvalidInput: The time ends before it begins.
        """
        end = end or now()
        if start is not None and start > end:
            raise InvalidInput("startTime lies behind endTime.", field="startTime")
        # The calendar may begin less than so many days before the end.
        end = max(end, _EARLIEST)
        start = start or max(_EARLIEST, end - timedelta(days=HISTORY_DAYS))
        runs: Sequence[PastRun] = ()
        workflows: Sequence[PastWorkflow] = ()
        reasons: Mapping[str, str] = {}
        async with self._database.reading(caller.organization_id) as session:
            if kind in {None, WorkloadType.RUN}:
                reasons = await repository.failures_between(session, start, end, MAX_ITEMS)
                runs = await repository.runs_between(session, start, end, MAX_ITEMS)
            if kind in {None, WorkloadType.RASTERFLOW_RUN}:
                workflows = await repository.workflows_between(session, start, end, MAX_ITEMS)
        return await asyncio.to_thread(history_document, runs, reasons, workflows, MAX_ITEMS)

    async def chart(self, caller: Caller, timerange: TimerangeOption) -> list[schemas.ChartSlice]:
        """Return the Spatial Units that runs used up, slice by slice up to now, oldest first."""
        length, count = _SLICES[timerange]
        end = now()
        edges = [end - length * number for number in range(count, -1, -1)]
        async with self._database.reading(caller.organization_id) as session:
            within = await repository.use_within(session, edges)
            across = await repository.runs_across(session, edges)
            people = await repository.people(session)
        return await asyncio.to_thread(_sliced, within, across, edges, people)

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
    within: Sequence[SliceUse],
    across: Sequence[RunFacts],
    edges: Sequence[datetime],
    people: Mapping[str, str],
) -> list[schemas.ChartSlice]:
    used: list[dict[tuple[str, str, str], float]] = [{} for _ in edges[1:]]
    for use in within:
        # An instant that is rounded to a millisecond may lie behind the last edge.
        _add(used[min(use.number, len(used) - 1)], use, people, use.units)
    first, length = edges[0], edges[1] - edges[0]
    for run in across:
        begun = max(0, ((run.started_at or first) - first) // length)
        ended = ((run.completed_at or edges[-1]) - first) // length
        for number in range(begun, min(ended, len(used) - 1) + 1):
            units = spatial_units(run, edges[number], edges[number + 1])
            _add(used[number], run, people, units)
    return [
        schemas.ChartSlice(start=start, end=end, usage=_slices(slot))
        for start, end, slot in zip(edges, edges[1:], used, strict=False)
    ]


def _add(
    slot: dict[tuple[str, str, str], float],
    of: SliceUse | RunFacts,
    people: Mapping[str, str],
    units: float | None,
) -> None:
    if units:
        key = (people.get(of.user_id, of.user_id), of.region, of.runtime)
        slot[key] = slot.get(key, 0.0) + units


def _slices(used: Mapping[tuple[str, str, str], float]) -> dict[str, schemas.UsageSlice]:
    return {
        f"{user}/{region}/RUN/{runtime}": schemas.UsageSlice(
            key=schemas.UsageKey(user=user, region=region, app_type="RUN", runtime=runtime),
            usage=math.ceil(units),
        )
        for (user, region, runtime), units in sorted(used.items())
    }
