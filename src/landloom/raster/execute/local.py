"""The executor of one machine: a pool of threads.

Threads, not processes: the engine's hot loops (numba, imagecodecs, torch, obstore) release the
GIL, and threads share the decoded blocks that neighbouring tiles both need.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait


class LocalExecutor:
    """Runs tasks on threads of this process."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or available_cores()
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="tile")

    def map[T, R](self, run: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[T, R]]:
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
                    flying[self._pool.submit(run, task)] = task
                if not flying:
                    return
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    yield flying.pop(future), future.result()
        finally:
            for future in flying:
                future.cancel()
            wait(flying)

    def close(self) -> None:
        """End the threads once their tasks are done."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def available_cores() -> int:
    """Return how many cores this process may use: its affinity, not the machine's size."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
