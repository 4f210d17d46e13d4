"""Spare hands: an executor's threads that have no task of their own help with another's.

Without them the last tasks of a map keep a core each while the others idle, and an output small
enough to be one task is made by one core of however many.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from typing import Any, Protocol


class Hands(Protocol):
    """Threads that may be idle."""

    def lend(self, call: Callable[[], None], most: int) -> list[Future[None]]:
        """Run `call` on up to `most` threads that are idle now; return one future for each."""
        ...


class _Here(threading.local):
    """What a thread knows of those beside it."""

    hands: Hands | None = None


_HERE = _Here()


def enlist(hands: Hands) -> None:
    """Note, in a new thread of an executor, whom it may ask for help."""
    _HERE.hands = hands


def share[T, R](run: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Yield `run(item)` for each item, in order; idle threads of this one's executor run some.

    Where none is idle, or this thread is no executor's, items are run here, one by one as their
    results are drawn. Who stops drawing waits for the items at work, and no other is begun.

    Raises:
        Exception: Whatever `run` raises for an item, when its result is drawn.
    """
    results: list[Future[R]] = [Future() for _ in items]
    waiting = deque(zip(items, results, strict=True))

    def help_out() -> None:
        while _run_next(run, waiting):
            pass

    hands = _HERE.hands
    helpers = [] if hands is None or len(items) == 1 else hands.lend(help_out, len(items) - 1)
    try:
        for result in results:
            while not result.done() and _run_next(run, waiting):
                pass
            yield result.result()
    finally:
        waiting.clear()
        wait([helper for helper in helpers if not helper.cancel()])


def _run_next[T](run: Callable[[T], Any], waiting: deque[tuple[T, Future[Any]]]) -> bool:
    """Run the next item that nobody has taken; return whether there was one."""
    try:
        item, result = waiting.popleft()
    except IndexError:
        return False
    try:
        result.set_result(run(item))
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is drawn
        result.set_exception(error)
    return True
