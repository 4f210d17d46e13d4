"""How a map goes over its tasks, whoever does them: drawn late, yielded once, done again if lost.

The crew knows where a task is done; this module knows which tasks there are. What is done again
after a worker died, and how often, is decided here alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from landloom.errors import Cancelled, WorkflowError
from landloom.raster.execute.base import AskCancelled

ASK_SECONDS = 0.1
"""How often a map that waits for its tasks asks whether it is still wanted."""

GRACE_SECONDS = 1.2
"""How long tasks that were told to stop are waited for before their workers are given up."""

MAX_LOSSES = 5
"""So many workers may die under one task before the task is taken for the cause."""

type Ticket = Hashable
"""What a crew gives for a task, to ask for its result by."""


class Lost(Exception):
    """A task's worker died; the text says how. The task knows nothing of it."""


class Crew[T, R](Protocol):
    """The workers of one map."""

    @property
    def capacity(self) -> int:
        """Tasks that are with the crew at most, in work or waiting; at least 1."""
        ...

    def start(self, task: T) -> Ticket:
        """Take a task."""
        ...

    def back(self, tickets: list[Ticket], seconds: float) -> list[Ticket]:
        """Return the tickets of tasks that came back; if none has, wait a while for one."""
        ...

    def result(self, ticket: Ticket) -> R:
        """Return what a task that came back returned, or raise what it raised.

        Raises:
            Lost: Its worker died.
        """
        ...

    def dismiss(self, tickets: list[Ticket], *, hurry: bool) -> None:
        """End the map: tell tasks in work to stop; in a hurry, wait for GRACE_SECONDS at most."""
        ...


@dataclass(slots=True)
class _Flight[T]:
    """A task that is with the crew, or goes there again."""

    task: T
    losses: int = 0


@dataclass(slots=True)
class Drive[T, R]:
    """One map over tasks."""

    crew: Crew[T, R]
    cancelled: AskCancelled
    _flying: dict[Ticket, _Flight[T]] = field(default_factory=dict)
    _again: deque[_Flight[T]] = field(default_factory=deque)
    """Tasks whose worker was lost; they come before new ones."""

    def results(self, tasks: Iterable[T]) -> Iterator[tuple[T, R]]:
        """Yield each task once, with its result; see `Executor.map`.

        Raises:
            Cancelled: `cancelled` said so.
            WorkflowError: Workers died under one task again and again.
        """
        source = (_Flight(task) for task in tasks)
        try:
            while not self.cancelled():
                self._fill(source)
                if not self._flying:
                    return
                for ticket in self.crew.back(list(self._flying), ASK_SECONDS):
                    yield from self._landed(ticket)
            raise Cancelled("The work was cancelled.")
        finally:
            self.crew.dismiss(list(self._flying), hurry=self.cancelled())

    def _fill(self, source: Iterator[_Flight[T]]) -> None:
        room = self.crew.capacity - len(self._flying)
        while room > 0 and self._again:
            self._start(self._again.popleft())
            room -= 1
        for flight in islice(source, max(0, room)):
            self._start(flight)

    def _start(self, flight: _Flight[T]) -> None:
        self._flying[self.crew.start(flight.task)] = flight

    def _landed(self, ticket: Ticket) -> Iterator[tuple[T, R]]:
        flight = self._flying.pop(ticket)
        try:
            result = self.crew.result(ticket)
        except Lost as loss:
            flight.losses += 1
            if flight.losses >= MAX_LOSSES:
                raise WorkflowError(
                    f"A task was given up after {MAX_LOSSES} of its workers died: {loss}",
                    suggestion="Give the workers more memory, or set LANDLOOM_SHARD to a smaller"
                    " number; finished tiles are kept.",
                ) from loss
            self._again.append(flight)
        else:
            yield flight.task, result
