"""Spare hands: idle threads take a share of another's work, and results do not show it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from landloom.raster.execute.hands import share
from landloom.raster.execute.local import LocalExecutor

TOGETHER = 20.0
"""Seconds that two threads wait for one another."""


@pytest.fixture
def executor() -> Iterator[LocalExecutor]:
    made = LocalExecutor(2)
    yield made
    made.close()


def in_task[R](
    executor: LocalExecutor, run: Callable[[], R], tasks: Sequence[int] = (0,)
) -> list[R]:
    """Run something in tasks of an executor."""
    return [result for _, result in executor.map(lambda _, __: run(), iter(tasks), lambda: False)]


def squares(items: Sequence[int]) -> list[int]:
    return list(share(lambda item: item * item, items))


@pytest.mark.parametrize("items", [[], [3], list(range(50))])
def test_results_come_in_order(executor: LocalExecutor, items: list[int]) -> None:
    assert squares(items) == [item * item for item in items]
    assert in_task(executor, lambda: squares(items)) == [[item * item for item in items]]


def test_an_idle_thread_helps(executor: LocalExecutor) -> None:
    both = threading.Barrier(2)

    def meet(_: int) -> str:
        both.wait(TOGETHER)  # one thread alone would wait in vain
        return threading.current_thread().name

    ((first, second),) = in_task(executor, lambda: list(share(meet, [1, 2])))
    assert first != second


def test_a_thread_that_has_a_task_of_its_own_does_not(executor: LocalExecutor) -> None:
    both = threading.Barrier(2)

    def run() -> set[int]:
        both.wait(TOGETHER)  # now every thread has a task
        seen = set(share(lambda _: threading.get_ident(), range(20)))
        both.wait(TOGETHER)
        return seen

    first, second = in_task(executor, run, tasks=(0, 1))
    assert len(first) == len(second) == 1
    assert first != second


def test_nobody_helps_where_one_thread_is_all_there_is() -> None:
    alone = LocalExecutor(1)
    try:
        ((seen),) = in_task(alone, lambda: set(share(lambda _: threading.get_ident(), range(9))))
    finally:
        alone.close()
    assert len(seen) == 1


def test_an_error_is_raised_where_its_result_is_due(executor: LocalExecutor) -> None:
    both = threading.Barrier(2)

    def run(item: int) -> int:
        both.wait(TOGETHER)
        if item == 1:
            raise ValueError("broken")
        return item

    drawn: list[int] = []

    def draw() -> None:
        for result in share(run, [0, 1]):
            drawn.append(result)  # noqa: PERF402 - what was drawn before the error counts

    with pytest.raises(ValueError, match="broken"):
        in_task(executor, draw)
    assert drawn == [0]


def test_after_an_error_no_further_item_is_begun() -> None:
    begun: list[int] = []

    def run(item: int) -> int:
        begun.append(item)
        if item == 1:
            raise ValueError("broken")
        return item

    with pytest.raises(ValueError, match="broken"):
        list(share(run, range(9)))
    assert begun == [0, 1]


def test_who_stops_drawing_waits_for_what_is_at_work(executor: LocalExecutor) -> None:
    helping, released = threading.Event(), threading.Event()
    at_work: list[int] = []

    def draw() -> list[int]:
        owner = threading.get_ident()

        def run(item: int) -> int:
            if threading.get_ident() == owner:
                helping.wait(TOGETHER)
                return item
            at_work.append(item)
            helping.set()
            if item:  # the first one's result is due before anything is released
                released.wait(TOGETHER)
            at_work.remove(item)
            return item

        results = share(run, range(100))
        next(results)
        released.set()
        results.close()  # type: ignore[attr-defined]
        return list(at_work)

    assert in_task(executor, draw) == [[]]
    assert helping.is_set()
