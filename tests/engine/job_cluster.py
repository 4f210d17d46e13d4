"""A Ray cluster of one node with a job server, on loopback: real processes, ended by their ids."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil
import ray
from ray._private import ray_constants
from ray.cluster_utils import Cluster

from tests.engine.clusters import OBJECT_BYTES, QUICK_TO_NOTICE

CORES = 16
"""That the cluster says it has: jobs of tests wait for one another no more than they must."""
MEMORY_BYTES = 64 << 30
START_SECONDS = 240
ATTEMPTS = 3


@dataclass(frozen=True)
class JobCluster:
    """A running cluster."""

    cluster: Cluster
    address: str
    """Of its job server."""

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
    # Its twenty processes need more than a minute on a machine that is busy otherwise.
    ray_constants.RAY_DASHBOARD_STARTUP_TIMEOUT_S = START_SECONDS
    cluster, port = _started()
    try:
        yield JobCluster(cluster, f"http://127.0.0.1:{port}")
    finally:
        if ray.is_initialized():
            ray.shutdown()
        cluster.shutdown()


def _started() -> tuple[Cluster, int]:
    """Start a head; again where Ray gives up on a raylet that is slow, after its 30 seconds."""
    for attempt in range(ATTEMPTS):
        before = {process.pid for process in psutil.Process().children()}
        port = _free_port()
        try:
            return Cluster(initialize_head=True, head_node_args=_head(port)), port
        except Exception:
            for process in psutil.Process().children():
                if process.pid not in before:
                    process.kill()
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError


def _head(port: int) -> dict[str, object]:
    return {
        "num_cpus": CORES,
        "memory": MEMORY_BYTES,
        "object_store_memory": OBJECT_BYTES,
        "include_dashboard": True,
        "dashboard_host": "127.0.0.1",
        "dashboard_port": port,
        "include_log_monitor": False,
        "no_monitor": True,
        "_system_config": QUICK_TO_NOTICE,
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
