"""What the operator's Prometheus reads: requests as they were answered, and what lies in the queue.

Requests are counted by this process since it began, workloads as they stand in the database, which
is the same for all processes that share one. No label names a user, a run or an organization.
"""

from __future__ import annotations

import asyncio
import shutil
from datetime import datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.metrics import repository

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the histogram of durations."""


class Meters:
    """The counters of one server process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "landloom_http_requests",
            "Requests that were answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "landloom_http_request_seconds",
            "How long requests took to be answered.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        info = Gauge("landloom_info", "This server.", ("version",), registry=self._registry)
        info.labels(version("landloom")).set(1)
        ProcessCollector(registry=self._registry)
        self._counter = lru_cache(maxsize=4096)(self._requests.labels)
        self._histogram = lru_cache(maxsize=1024)(self._seconds.labels)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer.

        Args:
            method: HTTP method.
            route: Template of the path, never the path itself.
            status: HTTP status.
            seconds: Until the answer was sent.
        """
        self._counter(method, route, str(status)).inc()
        self._histogram(method, route).observe(seconds)

    async def exposition(self, database: Database, data_dir: Path) -> bytes:
        """Return all figures in Prometheus' text format."""
        async with database.reading(None) as session:
            runs = await repository.runs_by_status(session)
            workflows = await repository.workflows_by_status(session)
            oldest = {
                "run": await repository.oldest_waiting_run(session),
                "workflow": await repository.oldest_waiting_workflow(session),
            }
        disk = await asyncio.to_thread(shutil.disk_usage, data_dir)
        present = CollectorRegistry()
        _fill(present, "landloom_runs", "Runs there are.", runs)
        _fill(present, "landloom_workflows", "Raster workflows there are.", workflows)
        waiting = Gauge(
            "landloom_oldest_waiting_seconds",
            "For how long the oldest workload has waited; 0 where none waits.",
            ("kind",),
            registry=present,
        )
        for kind, since in oldest.items():
            waiting.labels(kind).set(_age(since))
        for name, size in {"free": disk.free, "total": disk.total}.items():
            Gauge(
                f"landloom_disk_{name}_bytes", "Of the disk with the data.", registry=present
            ).set(size)
        return generate_latest(self._registry) + generate_latest(present)


def _fill(registry: CollectorRegistry, name: str, help_: str, counts: dict[str, int]) -> None:
    gauge = Gauge(name, help_, ("status",), registry=registry)
    for status, count in counts.items():
        gauge.labels(status).set(count)


def _age(since: datetime | None) -> float:
    return max(0.0, (now() - since).total_seconds()) if since is not None else 0.0
