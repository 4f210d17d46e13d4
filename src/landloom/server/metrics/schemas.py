"""Bodies of a run's metrics."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel


class WorkloadMetric(StrEnum):
    """What can be measured of a run."""

    CPU_UTILIZATION_PERCENT = "CPU_UTILIZATION_PERCENT"
    MEMORY_UTILIZATION_PERCENT = "MEMORY_UTILIZATION_PERCENT"
    GPU_UTILIZATION_PERCENT = "GPU_UTILIZATION_PERCENT"
    GPU_MEMORY_UTILIZATION_PERCENT = "GPU_MEMORY_UTILIZATION_PERCENT"
    COST_USD = "COST_USD"
    CONSUMED_SPATIAL_UNITS = "CONSUMED_SPATIAL_UNITS"


type DataFormat = Literal["NUMBER", "PERCENTAGE", "BYTES", "CURRENCY"]


class DataValue(BaseModel):
    """A value and when it was measured."""

    value: float | None
    timestamp: int
    """Unix seconds."""


class InstantMetric(BaseModel):
    """The latest value."""

    data: DataValue
    format: DataFormat


class SeriesMetric(BaseModel):
    """Values in the order of time."""

    data: list[DataValue]
    format: DataFormat


class InstantMetricDetails(BaseModel):
    """The latest value with its name for people."""

    display_name: str
    metric: InstantMetric


class SeriesMetricDetails(BaseModel):
    """A series with its name for people."""

    display_name: str
    metric: SeriesMetric


class RunMetricsResponse(BaseModel):
    """What is known of a run's use; a metric that was not sampled is absent, never 0."""

    series_metrics: dict[WorkloadMetric, SeriesMetricDetails]
    instant_metrics: dict[WorkloadMetric, InstantMetricDetails]
