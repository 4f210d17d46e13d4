"""The executor of a cluster: tiles as Ray tasks, whatever is costly to make as Ray actors.

Ray is asked for little: to place a task, to tell its result, to tell that its worker is gone; what
becomes of the task then is `drive`'s to say. An error of the engine is no loss: it ends the map.

What all tasks of a map share (the function, a model's maker, the way to the object store) is put
into the cluster once and kept by each worker; a task carries itself alone.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import ray
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
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from landloom.errors import Unavailable
from landloom.raster.execute.base import AskCancelled
from landloom.raster.execute.drive import GRACE_SECONDS, Drive, Lost
from landloom.raster.execute.environment import WorkerEnvironment
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

type Ref = Any
"""A reference of Ray's: to what was put, or to what a task will return."""


class RayExecutor:
    """Runs tasks on a Ray cluster, or on a local Ray that lives as long as this object."""

    local = False

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        """Make an executor; the cluster is joined, or started, when there is something to do.

        Args:
            address: Of the cluster, as Ray takes it; None starts a Ray on this machine.
            workers: Cores of a Ray on this machine; a cluster has its own number.
        """
        self._address = address
        self._cores = workers
        self._joined = False
        self._counted = 0.0
        self._workers = 1

    @property
    def workers(self) -> int:
        """Cores of the cluster as it is now."""
        self._join()
        if not self._counted or time.monotonic() - self._counted > COUNT_SECONDS:
            self._workers = max(1, int(_untyped.cluster_resources().get("CPU", 1)))
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
        work = ray.put(_Work(run, None, WorkerEnvironment.of_this_process()))
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
        work = ray.put(_Work(run, make, WorkerEnvironment.of_this_process()))
        yield from Drive(_Actors(work, gpus), cancelled).results(tasks)

    def close(self) -> None:
        """Leave the cluster; end it if it is ours."""
        if self._joined:
            self._joined = False
            with _own_signals():
                ray.shutdown()

    def _join(self) -> None:
        # A Ray that the caller has joined is used, and left as it is.
        if not self._joined and not ray.is_initialized():
            with _own_signals():
                _connect(self._address, self._cores)
            self._joined = True


@dataclass(frozen=True, slots=True)
class _Work:
    """What all tasks of a map share."""

    run: Callable[..., Any]
    make: Callable[[], Any] | None
    environment: WorkerEnvironment


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
        return _run_task.remote((self._work,), task)

    def back(self, tickets: list[Ref], seconds: float) -> list[Ref]:
        return _back(tickets, seconds)

    def result(self, ticket: Ref) -> Any:
        return _result(ticket)

    def dismiss(self, tickets: list[Ref], *, hurry: bool) -> None:
        # Asked kindly, Ray interrupts a task wherever it is. In the middle of an import that leaves
        # modules half made, and the worker fails at whatever it is given next: end it instead.
        del hurry
        for ticket in tickets:
            ray.cancel(ticket, force=True)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an actor may stand, and what it takes there."""

    node: str | None
    """None leaves it to Ray."""
    cpus: float
    gpus: float
    number: int = 0
    """Which one of its kind on the node."""


@dataclass(slots=True)
class _Seat:
    """An actor at its place, made when it is first needed."""

    place: _Place
    actor: Any = None
    tasks: int = 0
    """That it was given and has not brought back."""


class _Actors:
    """An actor on each node, or on each share of a GPU where nodes have some."""

    def __init__(self, work: Ref, gpus: float) -> None:
        self._work = work
        self._gpus = gpus
        self._seats: dict[_Place, _Seat] = {}
        self._flying: dict[Ref, tuple[_Seat, Any]] = {}
        self._counted: float | None = None

    @property
    def capacity(self) -> int:
        """One task in work and one that waits, for each actor."""
        if self._counted is None or time.monotonic() - self._counted > COUNT_SECONDS:
            self._count()
        return 2 * len(self._seats)

    def start(self, task: Any) -> Ref:
        seat = min(self._seats.values(), key=lambda each: each.tasks)
        if seat.actor is None:
            seat.actor = _place_actor(seat.place, self._work)
        ref = seat.actor.run.remote(task)
        self._flying[ref] = seat, seat.actor
        seat.tasks += 1
        return ref

    def back(self, tickets: list[Ref], seconds: float) -> list[Ref]:
        return _back(tickets, seconds)

    def result(self, ticket: Ref) -> Any:
        seat, actor = self._flying.pop(ticket)
        seat.tasks -= 1
        try:
            return _result(ticket)
        except Lost:
            if seat.actor is actor:
                seat.actor = None
            self._count()
            raise

    def dismiss(self, tickets: list[Ref], *, hurry: bool) -> None:
        del hurry  # an actor that does not heed is ended whatever the reason
        _tell(tickets)
        for seat in self._seats.values():
            _kill(seat.actor)
        self._seats.clear()

    def _count(self) -> None:
        """Seat actors on nodes that came, forget those on nodes that went."""
        self._counted = time.monotonic()
        self._seats = {
            place: self._seats.get(place) or _Seat(place) for place in _places(self._gpus)
        }


def _places(gpus: float) -> list[_Place]:
    """Return the places for actors in the cluster as it is now; there is always one."""
    nodes = [
        node for node in _untyped.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
    ]
    found = []
    for node in nodes:
        cpus = node["Resources"]["CPU"]
        count = int(node["Resources"].get("GPU", 0) // gpus) if gpus else 0
        share = max(1.0, cpus // max(1, count))
        found += [_Place(node["NodeID"], share, gpus, number) for number in range(count)]
    if not found:
        found = [_Place(node["NodeID"], node["Resources"]["CPU"], 0.0) for node in nodes]
    return found or [_Place(None, 1.0, gpus)]


def _place_actor(place: _Place, work: Ref) -> Any:
    where: Any = "DEFAULT"
    if place.node is not None:
        where = NodeAffinitySchedulingStrategy(place.node, soft=False)
    options = {"num_cpus": place.cpus, "num_gpus": place.gpus, "scheduling_strategy": where}
    keeper: Any = _Keeper
    return keeper.options(**options).remote((work,))


def _kill(actor: Any) -> None:
    if actor is not None:
        with suppress(RayError, ValueError):
            ray.kill(actor)


def _back(refs: list[Ref], seconds: float) -> list[Ref]:
    """Return what has come back; if nothing has, wait a while for the first."""
    ready, waiting = ray.wait(refs, num_returns=1, timeout=seconds)
    if ready and waiting:
        ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
    return list(ready)


def _result(ref: Ref) -> Any:
    """Return a task's result, or raise what it raised, whole, with the worker's traceback."""
    try:
        return ray.get(ref)
    except RayTaskError as error:
        cause: BaseException = error.cause
        cause.add_note(str(error))
        raise cause from None
    except LOSSES as error:
        raise Lost(_reason(error)) from error


def _tell(refs: list[Ref]) -> None:
    """Tell tasks of actors, which may ask, to stop; give them a moment to."""
    if refs:
        for ref in refs:
            ray.cancel(ref)
        ray.wait(refs, num_returns=len(refs), timeout=GRACE_SECONDS)


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# What follows runs in the workers.

_entered: dict[str, _Work] = {}
"""The work that this worker does, by its reference; one at a time."""


def _enter(ref: Ref) -> _Work:
    """Return the work behind a reference; the first time, see the world as its sender does."""
    key = ref.hex()
    if key not in _entered:
        work: Any = ray.get(ref)
        work.environment.enter()
        _entered.clear()
        _entered[key] = work
    return _entered[key]


@ray.remote(num_cpus=1, max_retries=0)
def _run_task(work: tuple[Ref], task: Any) -> Any:
    return _enter(work[0]).run(task, _Asked())


@ray.remote(max_restarts=0, max_task_retries=0)
class _Keeper:
    """Keeps what is costly to make, from its first task on: an error in making it is a task's."""

    def __init__(self, work: tuple[Ref]) -> None:
        self._ref = work[0]
        self._made: list[Any] = []

    def run(self, task: Any) -> Any:
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


# What follows joins and leaves a cluster.


def _connect(address: str | None, workers: int | None) -> None:
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
            f"{where}: {_reason(error)}",
            suggestion="Check RAY_ADDRESS (unset, a Ray on this machine is started), or set"
            " LANDLOOM_EXECUTOR=local.",
        ) from error


def _knock(address: str) -> None:
    """Fail within seconds where nobody listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


@contextmanager
def _own_signals() -> Iterator[None]:
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
