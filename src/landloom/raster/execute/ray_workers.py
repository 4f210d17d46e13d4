"""What runs in the workers of a Ray cluster.

What all tasks of a map share (the function, a model's maker, the way to the object store) is put
into the cluster once and kept by each worker; a task carries itself alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray

from landloom.raster.execute.environment import WorkerEnvironment
from landloom.raster.execute.local import keep_to_cores
from landloom.raster.execute.ray_cluster import Ref


@dataclass(frozen=True, slots=True)
class MapWork:
    """What all tasks of a map share."""

    run: Callable[..., Any]
    make: Callable[[], Any] | None
    environment: WorkerEnvironment


_entered: dict[str, MapWork] = {}
"""The work that this worker does, by its reference; one at a time."""


def _enter(ref: Ref) -> MapWork:
    """Return the work behind a reference; the first time, see the world as its sender does."""
    key = ref.hex()
    if key not in _entered:
        work: Any = ray.get(ref)
        work.environment.enter()
        _entered.clear()
        _entered[key] = work
    return _entered[key]


@ray.remote(num_cpus=1, max_retries=0)
def run_task(work: tuple[Ref], task: Any) -> Any:
    """Run a task of a map; in a tuple the reference travels as it is, not unpacked."""
    return _enter(work[0]).run(task, _Asked())


@ray.remote(max_restarts=0, max_task_retries=0)
class Keeper:
    """Keeps what is costly to make, from its first task on: an error in making it is a task's."""

    def __init__(self, work: tuple[Ref], cores: int) -> None:
        self._ref = work[0]
        self._made: list[Any] = []
        keep_to_cores(cores)

    def ready(self) -> None:
        """Return as soon as there is somebody to."""

    def run(self, task: Any) -> Any:
        """Run a task of a map."""
        work = _enter(self._ref)
        if not self._made and work.make is not None:
            self._made.append(work.make())
        return work.run(*self._made, task, _Asked())


class _Asked:
    """Tells a task whether it was cancelled; any of its threads may ask."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._context = ray.get_runtime_context()
        self._cancelled = False

    def __call__(self) -> bool:
        # Ray knows the task of the thread that runs it, and no other.
        if not self._cancelled and threading.get_ident() == self._thread:
            self._cancelled = self._context.is_canceled()
        return self._cancelled
