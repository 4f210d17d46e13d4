"""A Ray cluster of one node with a job server, on loopback: real processes, ended by their ids."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import ray
from ray._private import ray_constants, services
from ray.cluster_utils import Cluster

from tests.api.platform import eventually
from tests.engine.clusters import START_SECONDS, SYSTEM, free_port, node, persistently

CORES = 16
"""That the cluster says it has: jobs of tests wait for one another no more than they must."""
MEMORY_BYTES = 64 << 30
PARTS = ("JobHead", "NodeHead", "StateHead")
"""Of the dashboard; a usual head has ten."""


@dataclass(frozen=True)
class JobCluster:
    """A running cluster."""

    cluster: Cluster
    address: str
    """Of its job server."""

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Have the job server answer nobody for a while, though it takes connections."""
        (dashboard,) = self.cluster.head_node.all_processes["dashboard"]
        process = psutil.Process(dashboard.process.pid)
        process.suspend()
        try:
            yield
        finally:
            process.resume()

    def kill(self) -> None:
        """Kill the head: all that belongs to Ray's own processes there, and no job's."""
        for kinds in self.cluster.head_node.all_processes.values():
            for kind in kinds:
                with suppress(psutil.NoSuchProcess):
                    psutil.Process(kind.process.pid).kill()


@contextmanager
def job_cluster() -> Iterator[JobCluster]:
    """Start a head with its job server."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", str(START_SECONDS))
    # Its twenty processes need more than a minute on a machine that is busy otherwise.
    ray_constants.RAY_DASHBOARD_STARTUP_TIMEOUT_S = START_SECONDS
    cluster, port = persistently(_started)
    try:
        yield JobCluster(cluster, f"http://127.0.0.1:{port}")
    finally:
        if ray.is_initialized():
            ray.shutdown()
        cluster.shutdown()


def _started() -> tuple[Cluster, int]:
    """Start a head; Ray may return before its job server answers, or when that has died."""
    port = free_port()
    with _starting_little():
        cluster = Cluster(initialize_head=True, head_node_args=_head(port))
    # A client each time would load authorities each time, and slow the head down.
    with httpx.Client(timeout=30) as client:
        eventually(functools.partial(_takes_jobs, client, port), bool, START_SECONDS)
    return cluster, port


@contextmanager
def _starting_little() -> Iterator[None]:
    """Have heads start few of the parts of a dashboard: each is a process."""
    start = services.start_ray_process

    def start_little(command: list[str], kind: str, **options: Any) -> Any:
        if kind == ray_constants.PROCESS_TYPE_DASHBOARD:
            command = [*command, f"--modules-to-load={','.join(PARTS)}"]
        return start(command, kind, **options)

    services.start_ray_process = start_little
    try:
        yield
    finally:
        services.start_ray_process = start


def _takes_jobs(client: httpx.Client, port: int) -> bool:
    """Tell whether a job can be submitted: the server answers before its node's agent is there."""
    try:
        made = client.post(f"http://127.0.0.1:{port}/api/jobs/", json={"entrypoint": "true"})
    except httpx.HTTPError:
        return False
    return made.is_success


def _head(port: int) -> dict[str, object]:
    return {
        # Jobs go through its agents, and their usual ports are taken where another cluster is.
        **node(CORES),
        "memory": MEMORY_BYTES,
        "include_dashboard": True,
        "dashboard_host": "127.0.0.1",
        "dashboard_port": port,
        "include_log_monitor": False,
        "no_monitor": True,
        "_system_config": SYSTEM,
    }
