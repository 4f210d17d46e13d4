"""Going over tasks with a crew whose workers die."""

import pytest
from tests.engine.cubes import never

from landloom.errors import WorkflowError
from landloom.raster.execute.drive import MAX_LOSSES, Drive, Lost


class Mortals:
    """A crew in this thread; the worker of task n dies as often as told."""

    def __init__(self, deaths, capacity=3):
        self.capacity = capacity
        self.deaths = dict(deaths)
        self.started = []
        self.left = None
        self._tickets = 0
        self._tasks = {}

    def start(self, task):
        self.started.append(task)
        self._tickets += 1
        self._tasks[self._tickets] = task
        return self._tickets

    def back(self, tickets, _seconds):
        return tickets[-1:]

    def result(self, ticket):
        task = self._tasks.pop(ticket)
        if self.deaths.get(task, 0):
            self.deaths[task] -= 1
            raise Lost("its node went away")
        return -task

    def dismiss(self, tickets, **_):
        self.left = len(tickets)


def test_a_task_is_done_again_until_it_is_done_and_yielded_once():
    crew = Mortals({2: MAX_LOSSES - 1, 5: 1})
    results = list(Drive(crew, never).results(range(9)))
    assert sorted(results) == sorted((n, -n) for n in range(9))
    assert len(crew.started) == 9 + MAX_LOSSES
    assert crew.left == 0


def test_a_task_that_kills_whoever_runs_it_is_given_up():
    crew = Mortals({2: 1000})
    with pytest.raises(WorkflowError, match="5 of its workers died: its node went away") as caught:
        list(Drive(crew, never).results(range(9)))
    assert "memory" in caught.value.suggestion
    assert crew.started.count(2) == MAX_LOSSES


def test_whoever_stops_reading_dismisses_the_crew():
    crew = Mortals({})
    results = Drive(crew, never).results(range(9))
    next(results)
    results.close()
    assert crew.left == 2
