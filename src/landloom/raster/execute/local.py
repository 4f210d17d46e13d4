"""The executor of one machine: a pool of threads.

Threads, not processes: the engine's hot loops (numba, imagecodecs, torch, obstore) release the
GIL, and threads share the decoded blocks that neighbouring tiles both need.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Final

from landloom.raster.execute.base import AskCancelled
from landloom.raster.execute.drive import GRACE_SECONDS, Drive, Ticket
from landloom.raster.execute.hands import enlist

_SWITCH_SECONDS: Final = 0.0005
"""For so long a thread keeps the interpreter while others wait; Python's own is ten times that.

A tile comes back from compiled code thousands of times and wants it for microseconds only. Two
workers took 2 to 6 % less time for a same-CRS mosaic so (4 interleaved pairs); 0.1 ms gave nothing.
"""


class LocalExecutor:
    """Runs tasks on threads of this process.

    All threads of the process give the interpreter to one another sooner from then on.
    """

    local = True

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or available_cores()
        self._pool = _Pool(self.workers)
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_SECONDS))

    def map[T, R](
        self,
        run: Callable[[T, AskCancelled], R],
        tasks: Iterable[T],
        cancelled: AskCancelled,
    ) -> Iterator[tuple[T, R]]:
        """Yield each task with its result as it finishes; see `Executor.map`."""
        yield from Drive(_Threads(self._pool, run, cancelled), cancelled).results(tasks)

    def map_with[S, T, R](
        self,
        make: Callable[[], S],
        run: Callable[[S, T, AskCancelled], R],
        tasks: Iterable[T],
        cancelled: AskCancelled,
        *,
        gpus: float = 0.0,
    ) -> Iterator[tuple[T, R]]:
        """Run the tasks one after the other on one thing; see `Executor.map_with`."""
        del gpus  # whatever this machine has is the task's to use
        made: list[S] = []

        def run_with(task: T, asked: AskCancelled) -> R:
            if not made:
                made.append(make())
            return run(made[0], task, asked)

        # A thread of its own: what is made may hold on to the thread that made it (OpenMP does).
        pool = _Pool(1)
        try:
            yield from Drive(_Threads(pool, run_with, cancelled), cancelled).results(tasks)
        finally:
            pool.close()

    def close(self) -> None:
        """End the threads once their tasks are done."""
        self._pool.close()


class _Pool:
    """Threads; those that do not heed a cancellation are left behind and replaced.

    Those that have no task may be lent to those that have one.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._busy = 0
        self._lock = threading.RLock()  # a future that is done at once says so to its giver
        self._threads = self._fresh()

    def submit(self, *call: Any) -> Future[Any]:
        with self._lock:
            return self._taken(*call)

    def lend(self, call: Callable[[], None], most: int) -> list[Future[None]]:
        with self._lock:
            return [self._taken(call) for _ in range(min(most, self.size - self._busy))]

    def replace(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._threads = self._fresh()

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _taken(self, *call: Any) -> Future[Any]:
        """Give work to a thread, which counts as busy from now on; the lock is held."""
        future = self._threads.submit(*call)
        self._busy += 1
        future.add_done_callback(self._done)
        return future

    def _done(self, _: Future[Any]) -> None:
        with self._lock:
            self._busy -= 1

    def _fresh(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(
            self.size, thread_name_prefix="tile", initializer=enlist, initargs=(self,)
        )


class _Threads[T, R]:
    """The crew of one map."""

    def __init__(
        self, pool: _Pool, run: Callable[[T, AskCancelled], R], cancelled: AskCancelled
    ) -> None:
        self.capacity = pool.size
        self._pool = pool
        self._run = run
        self._cancelled = cancelled
        self._over = threading.Event()

    def start(self, task: T) -> Ticket:
        return self._pool.submit(self._run, task, self._asked)

    def back(self, tickets: list[Ticket], seconds: float) -> list[Ticket]:
        return list(wait(_futures(tickets), seconds, FIRST_COMPLETED).done)

    def result(self, ticket: Ticket) -> R:
        (future,) = _futures([ticket])
        result: R = future.result()
        return result

    def dismiss(self, tickets: list[Ticket], *, hurry: bool) -> None:
        self._over.set()
        running = [future for future in _futures(tickets) if not future.cancel()]
        if wait(running, timeout=GRACE_SECONDS if hurry else None).not_done:
            self._pool.replace()

    def _asked(self) -> bool:
        return self._over.is_set() or self._cancelled()


def _futures(tickets: list[Ticket]) -> list[Future[Any]]:
    return [ticket for ticket in tickets if isinstance(ticket, Future)]


_granted: list[int] = []
"""Cores that this process was given of the machine's; empty where it may use all it sees."""


def keep_to_cores(count: int) -> None:
    """Have `available_cores` tell no more than `count` from now on: others use the rest."""
    _granted[:] = [count]


def available_cores() -> int:
    """Return how many cores this process may use: its affinity, not the machine's size."""
    seen = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        seen = len(os.sched_getaffinity(0))
    return min([seen, *_granted])
