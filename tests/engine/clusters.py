"""A Ray cluster of two nodes on loopback, for tests: real processes, of which some get killed."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import ray
from ray._private import ray_constants, services
from ray._raylet import DASHBOARD_AGENT_LISTEN_PORT_NAME, persist_port
from ray.cluster_utils import Cluster

QUICK_TO_NOTICE = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 200,
    "health_check_timeout_ms": 20_000,
    "health_check_failure_threshold": 10,
}
"""A node that is gone is missed after two seconds, not after a quarter of a minute.

A killed node refuses at once, so the time-out is for one that is slow only: were the head taken for
dead on a busy machine, Ray would end the whole process of the tests.
"""

OBJECT_BYTES = 128 << 20
START_SECONDS = 240
ATTEMPTS = 6

SYSTEM = QUICK_TO_NOTICE | {
    "agent_register_timeout_ms": 1000 * START_SECONDS,
    "worker_register_timeout_seconds": START_SECONDS,
}

AGENT_PORTS = (
    *("metrics_agent_port", "metrics_export_port"),
    *("dashboard_agent_listen_port", "runtime_env_agent_port"),
)
"""Of a node's agents, which are Python's: a raylet that has to be told them by the agents ends
itself where those take more than a quarter of a minute to come up."""


def persistently[T](start: Callable[[], T]) -> T:
    """Start a part of Ray; again where it does not come up: a busy machine is too slow for it."""
    for attempt in range(ATTEMPTS):
        before = {process.pid for process in psutil.Process().children()}
        try:
            with _at_ease():
                return start()
        except Exception:
            for process in psutil.Process().children():
                if process.pid not in before:
                    process.kill()
                    process.wait()
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError


@contextmanager
def _at_ease() -> Iterator[None]:
    """Have nodes take their time: Ray gives them no more than 30 seconds to tell of themselves."""
    start, look = services.start_ray_process, services.get_node

    def start_knowing(command: list[str], kind: str, **options: Any) -> Any:
        if kind == ray_constants.PROCESS_TYPE_RAYLET:
            _tell_port(command)
        return start(command, kind, **options)

    def look_again(*asked: Any) -> Any:
        ends = time.monotonic() + START_SECONDS
        while True:
            try:
                return look(*asked)
            except RuntimeError:
                if time.monotonic() > ends:
                    raise
            time.sleep(0.1)

    services.start_ray_process, services.get_node = start_knowing, look_again
    try:
        yield
    finally:
        services.start_ray_process, services.get_node = start, look


def _tell_port(raylet: list[str]) -> None:
    """Tell a raylet the one of its agents' ports that its command does not."""
    told = " ".join(raylet)
    folder, node, port = (
        re.findall(rf"--{name}=(\S+)", told)[-1]
        for name in ("session_dir", "node_id", "listen-port")
    )
    persist_port(folder, node, DASHBOARD_AGENT_LISTEN_PORT_NAME, int(port))


def node(cores: int) -> dict[str, Any]:
    """Return what a node is started with."""
    ports = {name: free_port() for name in AGENT_PORTS}
    return {"num_cpus": cores, "object_store_memory": OBJECT_BYTES, **ports}


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def add_node(cluster: Cluster, cores: int) -> Any:
    """Have a further node join."""
    return persistently(lambda: cluster.add_node(**node(cores)))


@contextmanager
def two_nodes() -> Iterator[Cluster]:
    """Start a head and one more node, with one core each."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", str(START_SECONDS))
    head = {
        **node(1),
        "include_dashboard": False,
        "include_log_monitor": False,
        "no_monitor": True,
        "_system_config": SYSTEM,
    }
    cluster = persistently(lambda: Cluster(initialize_head=True, head_node_args=dict(head)))
    try:
        add_node(cluster, 1)
        yield cluster
    finally:
        if ray.is_initialized():
            ray.shutdown()
        cluster.shutdown()
