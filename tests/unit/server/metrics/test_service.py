from __future__ import annotations

from landloom.runner.gpus import GpuUse
from landloom.runner.usage import Sample
from landloom.server.launchers.runtimes import Runtime
from landloom.server.metrics.schemas import WorkloadMetric
from landloom.server.metrics.service import MAX_POINTS, utilization

SIZE = Runtime("small", cpus=2, memory_bytes=1000)
CPU, MEMORY = WorkloadMetric.CPU_UTILIZATION_PERCENT, WorkloadMetric.MEMORY_UTILIZATION_PERCENT


def values(samples: list[Sample], name: WorkloadMetric) -> list[float | None]:
    return [point.value for point in utilization(samples, SIZE)[name]]


def test_shares_are_of_what_the_runtime_allots():
    samples = [Sample(10, 1.0, 100), Sample(12, 3.0, 250), Sample(13, 3.0, 2000)]
    assert values(samples, CPU) == [50, 0]
    assert values(samples, MEMORY) == [10, 25, 100]
    assert [point.timestamp for point in utilization(samples, SIZE)[CPU]] == [12, 13]


def test_what_was_not_sampled_has_no_points():
    assert values([], CPU) == []
    assert values([], MEMORY) == []
    assert values([Sample(1, 0, 0)], CPU) == []


def test_gpus_are_shown_where_there_are_any():
    samples = [Sample(1, 0, 0), Sample(2, 0, 0, GpuUse(40, 25)), Sample(3, 0, 0, GpuUse(60, 30))]
    assert values(samples, WorkloadMetric.GPU_UTILIZATION_PERCENT) == [40, 60]
    assert values(samples, WorkloadMetric.GPU_MEMORY_UTILIZATION_PERCENT) == [25, 30]
    assert values(samples[:1], WorkloadMetric.GPU_UTILIZATION_PERCENT) == []


def test_a_clock_that_stands_or_goes_back_gives_no_point():
    samples = [Sample(10, 1.0, 1), Sample(10, 2.0, 1), Sample(9, 3.0, 1), Sample(11, 4.0, 1)]
    assert values(samples, CPU) == [25]


def test_long_series_are_thinned_and_keep_their_end():
    samples = [Sample(n, n, n % 1000) for n in range(3000)]
    points = utilization(samples, SIZE)
    assert len(points[MEMORY]) <= MAX_POINTS
    assert points[MEMORY][-1].timestamp == 2999
    assert set(values(samples, CPU)) == {50}
