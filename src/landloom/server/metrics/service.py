"""A run's metrics, from what its runner sampled."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from landloom.errors import NotFound
from landloom.runner.usage import Sample, read_usage
from landloom.server.accounts.keys import Caller
from landloom.server.db.session import Database
from landloom.server.launchers.machine import Machine
from landloom.server.launchers.runtimes import Runtime, clamp
from landloom.server.metrics.schemas import (
    DataFormat,
    DataValue,
    InstantMetric,
    InstantMetricDetails,
    RunMetricsResponse,
    SeriesMetric,
    SeriesMetricDetails,
    WorkloadMetric,
)
from landloom.server.settings import Settings
from landloom.server.usage import repository
from landloom.server.usage.repository import RunFacts
from landloom.server.usage.units import spatial_units

MAX_POINTS: Final = 500
"""Of a series; more are thinned out evenly."""

_SHOWN: Final[dict[WorkloadMetric, tuple[str, DataFormat]]] = {
    WorkloadMetric.CPU_UTILIZATION_PERCENT: ("CPU utilization", "PERCENTAGE"),
    WorkloadMetric.MEMORY_UTILIZATION_PERCENT: ("Memory utilization", "PERCENTAGE"),
    WorkloadMetric.GPU_UTILIZATION_PERCENT: ("GPU utilization", "PERCENTAGE"),
    WorkloadMetric.GPU_MEMORY_UTILIZATION_PERCENT: ("GPU memory utilization", "PERCENTAGE"),
    WorkloadMetric.CONSUMED_SPATIAL_UNITS: ("Consumed Spatial Units", "NUMBER"),
    WorkloadMetric.COST_USD: ("Cost", "CURRENCY"),
}

type Points = list[DataValue]


class Metrics:
    """Shows what runs use or used."""

    def __init__(self, settings: Settings, database: Database, machine: Machine) -> None:
        self._settings = settings
        self._database = database
        self._machine = machine

    async def of_run(self, caller: Caller, run_id: str) -> RunMetricsResponse:
        """Return what a run uses, or used.

        Raises:
            NotFound: The caller's organization has no such run.
        """
        async with self._database.reading(caller.organization_id) as session:
            run = await repository.run(session, run_id)
        if run is None:
            raise NotFound(
                f"There is no run {run_id!r}.", suggestion="List the runs with GET /runs."
            )
        size = clamp(self._settings.sizes.find(run.runtime), self._machine).runtime
        samples = await asyncio.to_thread(read_usage, self._settings.workloads_dir / run_id)
        measured = utilization(samples, size) | consumption(samples, run)
        series = {name: points for name, points in measured.items() if points}
        return RunMetricsResponse(
            series_metrics={
                name: SeriesMetricDetails(
                    display_name=_SHOWN[name][0],
                    metric=SeriesMetric(data=points, format=_SHOWN[name][1]),
                )
                for name, points in series.items()
            },
            instant_metrics={
                name: InstantMetricDetails(
                    display_name=_SHOWN[name][0],
                    metric=InstantMetric(data=points[-1], format=_SHOWN[name][1]),
                )
                for name, points in series.items()
            },
        )


def utilization(samples: Sequence[Sample], size: Runtime) -> dict[WorkloadMetric, Points]:
    """Return shares of what a runtime allots, per cent.

    A share of the processor is that between two samples, so it has one point less than memory.
    """
    processor = [
        _percent(
            (later.cpu_seconds - earlier.cpu_seconds) / (later.at - earlier.at) / size.cpus, later
        )
        for earlier, later in itertools.pairwise(_thinned(samples))
        if later.at > earlier.at
    ]
    memory = [
        _percent(sample.memory_bytes / size.memory_bytes, sample) for sample in _thinned(samples)
    ]
    with_gpu = _thinned([sample for sample in samples if sample.gpu is not None])
    return {
        WorkloadMetric.CPU_UTILIZATION_PERCENT: processor,
        WorkloadMetric.MEMORY_UTILIZATION_PERCENT: memory,
        WorkloadMetric.GPU_UTILIZATION_PERCENT: [
            _percent(each.gpu.percent / 100, each) for each in with_gpu if each.gpu
        ],
        WorkloadMetric.GPU_MEMORY_UTILIZATION_PERCENT: [
            _percent(each.gpu.memory_percent / 100, each) for each in with_gpu if each.gpu
        ],
    }


def consumption(samples: Sequence[Sample], run: RunFacts) -> dict[WorkloadMetric, Points]:
    """Return the Spatial Units used up by each sample and by the run's end, and their cost.

    A run that nobody sampled, that has no rate or no price, has no points, rather than zeros.
    """
    if run.started_at is None or not samples:
        return {}
    instants = [datetime.fromtimestamp(each.at, UTC) for each in _thinned(samples)]
    if run.completed_at is not None:
        instants = [each for each in instants if each < run.completed_at] + [run.completed_at]
    points: dict[WorkloadMetric, Points] = {}
    for at in instants:
        units = spatial_units(run, run.started_at, at)
        if units is None:
            continue
        _add(points, WorkloadMetric.CONSUMED_SPATIAL_UNITS, units, at)
        if run.usd_per_spatial_unit is not None:
            _add(points, WorkloadMetric.COST_USD, units * run.usd_per_spatial_unit, at)
    return points


def _add(
    points: dict[WorkloadMetric, Points], name: WorkloadMetric, value: float, at: datetime
) -> None:
    point = DataValue(value=round(value, 6), timestamp=int(at.timestamp()))
    points.setdefault(name, []).append(point)


def _thinned(samples: Sequence[Sample]) -> list[Sample]:
    """Return every so many-th sample, the last one always among them."""
    step = -(-len(samples) // MAX_POINTS) or 1
    return list(samples[::-1][::step])[::-1]


def _percent(share: float, sample: Sample) -> DataValue:
    return DataValue(value=round(min(100.0, max(0.0, 100 * share)), 2), timestamp=int(sample.at))
