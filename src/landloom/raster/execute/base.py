"""What an executor is: it runs one pure function over many tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol


class Executor(Protocol):
    """Runs tasks somewhere. A task is pure and restartable, so running one twice is harmless."""

    workers: int
    """How many tasks run at a time."""

    def map[T, R](self, run: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[T, R]]:
        """Yield each task with its result as it finishes, in any order.

        At most `workers` tasks are in flight and tasks are drawn lazily, so memory is bounded by
        workers, never by the number of tasks. The first error ends the iteration: tasks in flight
        are awaited, the rest never start.
        """
        ...

    def close(self) -> None:
        """Free the workers."""
