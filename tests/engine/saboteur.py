"""An executor whose workers die at chosen tasks, for tests of what happens then.

Deeds are left as files in a folder that all workers see: which task has run to its end how often,
whose result was told, and which deaths have been died already.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import ray


class Saboteur:
    """Passes everything on to another executor; one task kills its worker, or its node, once."""

    def __init__(self, executor: Any, folder: Path, at: int = 1, node: str | None = None) -> None:
        """Let death come in task `at`, or in the first one from it on that runs on Ray's `node`."""
        self._executor = executor
        self._deed = partial(_deadly, folder, at, node)
        self._folder = folder
        self._numbers = count()
        self.local = executor.local
        folder.mkdir(exist_ok=True)

    @property
    def workers(self) -> int:
        return self._executor.workers

    def map(self, run, tasks, cancelled) -> Iterator[tuple[Any, Any]]:
        yield from self._told(
            self._executor.map(
                partial(self._deed, run), zip(self._numbers, tasks, strict=False), cancelled
            )
        )

    def map_with(self, make, run, tasks, cancelled, *, gpus=0.0) -> Iterator[tuple[Any, Any]]:
        run = partial(_swapped, self._deed, run)
        yield from self._told(
            self._executor.map_with(
                make, run, zip(self._numbers, tasks, strict=False), cancelled, gpus=gpus
            )
        )

    def close(self) -> None:
        self._executor.close()

    @property
    def deaths(self) -> int:
        return len(list(self._folder.glob("died-*")))

    def completed(self) -> Counter[int]:
        """Return how often each task ran to its end."""
        return self._deeds("done")

    def repeated(self) -> Counter[int]:
        """Return how often each task was begun again though its result had been told.

        A task may rightly run to its end twice: a worker that dies in the next one can take with
        it a result that was still on its way.
        """
        return self._deeds("again")

    def _told(self, numbered) -> Iterator[tuple[Any, Any]]:
        for (number, task), result in numbered:
            told = self._folder / f"told-{number}"
            told.touch(exist_ok=False)
            yield task, result

    def _deeds(self, deed: str) -> Counter[int]:
        return Counter(int(path.name.split("-")[1]) for path in self._folder.glob(f"{deed}-*"))


def _swapped(deed, run, made, numbered, cancelled):
    return deed(partial(run, made), numbered, cancelled)


def _deadly(folder: Path, at: int, node: str | None, run, numbered, cancelled) -> Any:
    number, task = numbered
    if (folder / f"told-{number}").exists():
        (folder / f"again-{number}-{os.urandom(4).hex()}").touch()
    ask = partial(_die_once, folder / f"died-{at}", node, cancelled) if number >= at else cancelled
    result = run(task, ask)
    ask()  # one that never asks dies at its end
    (folder / f"done-{number}-{os.getpid()}-{os.urandom(4).hex()}").touch()
    return result


def _die_once(marker: Path, node: str | None, cancelled: Callable[[], bool]) -> bool:
    if not marker.exists() and node in {None, ray.get_runtime_context().get_node_id()}:
        marker.touch()
        if node is not None:
            os.kill(os.getppid(), signal.SIGKILL)  # the process that stands for the node
        os.kill(os.getpid(), signal.SIGKILL)
    return cancelled()
