"""The executor of one machine: a pool of threads.

Threads, not processes: the engine's hot loops (numba, imagecodecs, torch, obstore) release the
GIL, and threads share the decoded blocks that neighbouring tiles both need.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from landloom.errors import Cancelled
from landloom.raster.execute.base import AskCancelled


class LocalExecutor:
    """Runs tasks on threads of this process."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or available_cores()
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="tile")

    def map[T, R](
        self,
        run: Callable[[T, AskCancelled], R],
        tasks: Iterable[T],
        cancelled: AskCancelled,
    ) -> Iterator[tuple[T, R]]:
        """Yield each task with its result as it finishes; see `Executor.map`."""
        source = iter(tasks)
        flying: dict[Future[R], T] = {}
        try:
            while True:
                while len(flying) < self.workers:
                    try:
                        task = next(source)
                    except StopIteration:
                        break
                    flying[self._pool.submit(run, task, cancelled)] = task
                if not flying:
                    return
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    yield flying.pop(future), future.result()
                if cancelled():
                    raise Cancelled("The work was cancelled.")
        finally:
            for future in flying:
                future.cancel()
            wait(flying)

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
        state: S | None = None
        for task in tasks:
            if cancelled():
                raise Cancelled("The work was cancelled.")
            if state is None:
                state = make()
            yield task, run(state, task, cancelled)

    def close(self) -> None:
        """End the threads once their tasks are done."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def available_cores() -> int:
    """Return how many cores this process may use: its affinity, not the machine's size."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
