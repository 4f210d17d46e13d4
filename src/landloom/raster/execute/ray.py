"""The executor of a cluster: tiles as Ray tasks, whatever is costly to make as Ray actors.

Ray is asked for little: to place a task, to tell its result, to tell that its worker is gone; what
becomes of the task then is `drive`'s to say. An error of the engine is no loss: it ends the map.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import ray

from landloom.raster.execute.base import AskCancelled
from landloom.raster.execute.drive import Drive
from landloom.raster.execute.environment import WorkerEnvironment
from landloom.raster.execute.ray_actors import Actors
from landloom.raster.execute.ray_cluster import (
    COUNT_SECONDS,
    Ref,
    back,
    connect,
    cores_together,
    own_signals,
    result,
)
from landloom.raster.execute.ray_workers import MapWork, run_task


class RayExecutor:
    """Runs tasks on a Ray cluster, or on a local Ray that lives as long as this object."""

    local = False

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        tell: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """Make an executor; the cluster is joined, or started, when there is something to do.

        Args:
            address: Of the cluster, as Ray takes it; None starts a Ray on this machine.
            workers: Cores of a Ray on this machine; a cluster has its own number.
            tell: Is told, from the thread of a map, why that does not go on.
        """
        self._address = address
        self._cores = workers
        self._tell = tell
        self._joined = False
        self._counted = 0.0
        self._workers = 1

    @property
    def workers(self) -> int:
        """Cores of the cluster as it is now."""
        self._join()
        if not self._counted or time.monotonic() - self._counted > COUNT_SECONDS:
            self._workers = cores_together()
            self._counted = time.monotonic()
        return self._workers

    def map[T, R](
        self,
        run: Callable[[T, AskCancelled], R],
        tasks: Iterable[T],
        cancelled: AskCancelled,
    ) -> Iterator[tuple[T, R]]:
        """Yield each task with its result as it finishes; see `Executor.map`.

        Raises:
            Unavailable: There is no cluster, or it does not let us in.
            WorkflowError: Workers die under one task again and again.
        """
        self._join()
        work = ray.put(MapWork(run, None, WorkerEnvironment.of_this_process()))
        yield from Drive(_Tasks(work, self), cancelled).results(tasks)

    def map_with[S, T, R](
        self,
        make: Callable[[], S],
        run: Callable[[S, T, AskCancelled], R],
        tasks: Iterable[T],
        cancelled: AskCancelled,
        *,
        gpus: float = 0.0,
    ) -> Iterator[tuple[T, R]]:
        """Yield each task with its result, from an actor on each node; see `Executor.map_with`.

        Raises:
            Unavailable: There is no cluster, or it does not let us in.
            WorkflowError: Workers die under one task again and again.
        """
        self._join()
        work = ray.put(MapWork(run, make, WorkerEnvironment.of_this_process()))
        yield from Drive(Actors(work, gpus, self._tell), cancelled).results(tasks)

    def close(self) -> None:
        """Leave the cluster; end it if it is ours."""
        if self._joined:
            self._joined = False
            with own_signals():
                ray.shutdown()

    def _join(self) -> None:
        # A Ray that the caller has joined is used, and left as it is.
        if not self._joined and not ray.is_initialized():
            with own_signals():
                connect(self._address, self._cores)
            self._joined = True


class _Tasks:
    """A Ray task each: any idle core of the cluster takes it."""

    def __init__(self, work: Ref, executor: RayExecutor) -> None:
        self._work = work
        self._executor = executor

    @property
    def capacity(self) -> int:
        """A few more than there are cores: none waits for the driver."""
        workers = self._executor.workers
        return workers + max(1, workers // 2)

    def start(self, task: Any) -> Ref:
        # In a tuple the reference travels as it is; by itself Ray would unpack it for every task.
        return run_task.remote((self._work,), task)

    def back(self, tickets: list[Ref], seconds: float) -> list[Ref]:
        return back(tickets, seconds)

    def result(self, ticket: Ref) -> Any:
        return result(ticket)

    def dismiss(self, tickets: list[Ref], *, hurry: bool) -> None:
        # Asked kindly, Ray interrupts a task wherever it is. In the middle of an import that leaves
        # modules half made, and the worker fails at whatever it is given next: end it instead.
        del hurry
        for ticket in tickets:
            ray.cancel(ticket, force=True)
