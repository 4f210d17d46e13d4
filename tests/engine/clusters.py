"""A Ray cluster of two nodes on loopback, for tests: real processes, of which some get killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray
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


@contextmanager
def two_nodes() -> Iterator[Cluster]:
    """Start a head and one more node, with one core each."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1,
            "object_store_memory": OBJECT_BYTES,
            "include_dashboard": False,
            "include_log_monitor": False,
            "no_monitor": True,
            "_system_config": QUICK_TO_NOTICE,
        },
    )
    try:
        cluster.add_node(num_cpus=1, object_store_memory=OBJECT_BYTES)
        yield cluster
    finally:
        if ray.is_initialized():
            ray.shutdown()
        cluster.shutdown()
