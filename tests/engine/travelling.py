"""An executor whose tasks leave the process, as a cluster's do, but for the cluster."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator

from landloom.raster.execute.base import AskCancelled


class Travelling:
    """Runs tasks one after the other; all that would travel is pickled and made anew."""

    local = False

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.tasks = 0
        self.made = 0

    def map[T, R](
        self, run: Callable[[T, AskCancelled], R], tasks: Iterable[T], cancelled: AskCancelled
    ) -> Iterator[tuple[T, R]]:
        there = _copied(run)
        for task in tasks:
            self.tasks += 1
            yield task, _copied(there(_copied(task), cancelled))

    def map_with[S, T, R](
        self,
        make: Callable[[], S],
        run: Callable[[S, T, AskCancelled], R],
        tasks: Iterable[T],
        cancelled: AskCancelled,
        *,
        gpus: float = 0.0,
    ) -> Iterator[tuple[T, R]]:
        del gpus
        state = _copied(make)()
        self.made += 1
        there = _copied(run)
        for task in tasks:
            self.tasks += 1
            yield task, _copied(there(state, _copied(task), cancelled))

    def close(self) -> None:
        """Hold nothing."""


def _copied[T](thing: T) -> T:
    copy: T = pickle.loads(pickle.dumps(thing))  # noqa: S301 - it was pickled in this line
    return copy
