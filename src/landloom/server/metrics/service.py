"""A run's metrics, from what its runner sampled."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Final

from landloom.errors import NotFound
from landloom.runner.usage import Sample, read_usage
from landloom.server.accounts.keys import Caller
from landloom.server.db.session import Database
from landloom.server.launchers.machine import Machine
from landloom.server.launchers.runtimes import Runtime, clamp
from landloom.server.metrics.schemas import (
    DataValue,
    InstantMetric,
    InstantMetricDetails,
    RunMetricsResponse,
    SeriesMetric,
    SeriesMetricDetails,
    WorkloadMetric,
)
from landloom.server.runs import repository
from landloom.server.settings import Settings

MAX_POINTS: Final = 500
"""Of a series; more are thinned out evenly."""

_NAMES: Final = {
    WorkloadMetric.CPU_UTILIZATION_PERCENT: "CPU utilization",
    WorkloadMetric.MEMORY_UTILIZATION_PERCENT: "Memory utilization",
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
            runtime = await repository.runtime(session, run_id)
        if runtime is None:
            raise NotFound(
                f"There is no run {run_id!r}.", suggestion="List the runs with GET /runs."
            )
        size = clamp(self._settings.sizes.find(runtime), self._machine).runtime
        samples = await asyncio.to_thread(read_usage, self._settings.workloads_dir / run_id)
        series = {name: points for name, points in utilization(samples, size).items() if points}
        return RunMetricsResponse(
            series_metrics={
                name: SeriesMetricDetails(
                    display_name=_NAMES[name],
                    metric=SeriesMetric(data=points, format="PERCENTAGE"),
                )
                for name, points in series.items()
            },
            instant_metrics={
                name: InstantMetricDetails(
                    display_name=_NAMES[name],
                    metric=InstantMetric(data=points[-1], format="PERCENTAGE"),
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
    return {
        WorkloadMetric.CPU_UTILIZATION_PERCENT: processor,
        WorkloadMetric.MEMORY_UTILIZATION_PERCENT: memory,
    }


def _thinned(samples: Sequence[Sample]) -> list[Sample]:
    """Return every so many-th sample, the last one always among them."""
    step = -(-len(samples) // MAX_POINTS) or 1
    return list(samples[::-1][::step])[::-1]


def _percent(share: float, sample: Sample) -> DataValue:
    return DataValue(value=round(min(100.0, max(0.0, 100 * share)), 2), timestamp=int(sample.at))
