"""A Ray cluster as a map sees it: joined and left, what comes back from it, and what is lost."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import state
from ray.exceptions import (
    ActorUnschedulableError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    TaskUnschedulableError,
    WorkerCrashedError,
)

from landloom.errors import Unavailable
from landloom.raster.execute.drive import Lost
from landloom.raster.execute.local import available_cores

LOSSES = (
    ActorUnschedulableError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    TaskUnschedulableError,
    WorkerCrashedError,
)
"""What Ray says when a worker or its node is gone."""

COUNT_SECONDS = 5.0
"""How often the cluster is asked for its size: nodes come and go."""

KNOCK_SECONDS = 10.0
"""How long the address of a cluster may take to answer at all."""

LOCAL_OBJECT_BYTES = 512 << 20
"""Shared memory of a Ray of our own, for results under way; Ray moves what is more to disk."""

_untyped: Any = ray
"""Ray, for those of its functions that have no types."""
_nodes: Any = state

type Ref = Any
"""A reference of Ray's: to what was put, or to what a task will return."""


def connect(address: str | None, workers: int | None) -> None:
    """Join the cluster at an address, or start a Ray on this machine with so many cores.

    Raises:
        Unavailable: There is none, or it does not let us in.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    quiet: Any = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is not None:
            _knock(address)
            ray.init(address=address, **quiet)
            return
        # A Ray of our own lets in who has its token; unless told one it writes it to the home.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        ray.init(
            address="local",
            num_cpus=workers or available_cores(),
            include_dashboard=False,
            object_store_memory=LOCAL_OBJECT_BYTES,
            **quiet,
        )
    except (OSError, RayError, RuntimeError, ValueError) as error:
        where = f"No Ray cluster lets us in at {address}" if address else "Ray does not start here"
        raise Unavailable(
            f"{where}: {reason(error)}",
            suggestion="Check RAY_ADDRESS (unset, a Ray on this machine is started), or set"
            " LANDLOOM_EXECUTOR=local.",
        ) from error


def _knock(address: str) -> None:
    """Fail within seconds where nobody listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


@contextmanager
def own_signals() -> Iterator[None]:
    """Keep this process's signal handlers: Ray puts its own in their place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def cores_together() -> int:
    """Return the cores that the cluster has now; at least one, for who waits for its nodes."""
    return max(1, int(_untyped.cluster_resources().get("CPU", 1)))


def nodes_with_cores() -> dict[str, dict[str, float]]:
    """Return what each node that can compute has in all, by its id."""
    return {
        node["NodeID"]: node["Resources"]
        for node in _untyped.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
    }


def free_on_nodes() -> dict[str, dict[str, float]]:
    """Return what each node, by its id, has left; what is used up may be missing.

    It is some tenths of a second old.
    """
    if _untyped.util.client.ray.is_connected():
        # Only processes of the cluster itself are told.
        found: Any = ray.get(_free_there.remote())
    else:
        found = _nodes.available_resources_per_node()
    return {node: dict(resources) for node, resources in found.items()}


@ray.remote(num_cpus=0)
def _free_there() -> Any:
    return _nodes.available_resources_per_node()


def back(refs: list[Ref], seconds: float) -> list[Ref]:
    """Return what has come back; if nothing has, wait a while for the first."""
    ready, waiting = ray.wait(refs, num_returns=1, timeout=seconds)
    if ready and waiting:
        ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
    return list(ready)


def result(ref: Ref) -> Any:
    """Return a task's result, or raise what it raised, whole, with the worker's traceback.

    Raises:
        Lost: Its worker died.
    """
    try:
        return ray.get(ref)
    except RayTaskError as error:
        cause: BaseException = error.cause
        cause.add_note(str(error))
        raise cause from None
    except LOSSES as error:
        raise Lost(reason(error)) from error


def reason(error: Exception) -> str:
    """Return the first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
