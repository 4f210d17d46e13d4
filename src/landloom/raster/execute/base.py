"""What an executor is: it runs one pure function over many tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

type AskCancelled = Callable[[], bool]
"""Tells whether the work is no longer wanted; asked often, so it is cheap."""


class Executor(Protocol):
    """Runs tasks somewhere. A task is pure and restartable, so running one twice is harmless.

    Functions, tasks and results may travel to another process: functions are importable by name
    (or partials of such), tasks and results pickle.
    """

    @property
    def workers(self) -> int:
        """How many tasks run at a time."""
        ...

    local: bool
    """Whether tasks run in this process: functions and tasks then need not travel."""

    def map[T, R](
        self,
        run: Callable[[T, AskCancelled], R],
        tasks: Iterable[T],
        cancelled: AskCancelled,
    ) -> Iterator[tuple[T, R]]:
        """Yield each task with its result as it finishes, in any order.

        Tasks are drawn lazily and at most a small multiple of `workers` is in flight, so memory is
        bounded by workers, never by the number of tasks. The first error ends the iteration: tasks
        in flight are awaited or stopped, the rest never start.

        Args:
            run: Called with a task and a function to ask between pieces of work; it raises
                `Cancelled` when the answer is yes.
            tasks: What to run.
            cancelled: The answer.

        Raises:
            Cancelled: `cancelled` said so; the workers are free within two seconds.
        """
        ...

    def map_with[S, T, R](
        self,
        make: Callable[[], S],
        run: Callable[[S, T, AskCancelled], R],
        tasks: Iterable[T],
        cancelled: AskCancelled,
        *,
        gpus: float = 0.0,
    ) -> Iterator[tuple[T, R]]:
        """Do what `map` does with something that is costly to make, once a worker: a model.

        Args:
            make: Makes it. On one machine it is called once and one task runs at a time: a model
                uses every core by itself.
            run: Called with it, a task and a function to ask.
            tasks: What to run.
            cancelled: The answer.
            gpus: How many of a node's GPUs each worker takes, where nodes have any.
        """
        ...

    def close(self) -> None:
        """Free the workers."""
