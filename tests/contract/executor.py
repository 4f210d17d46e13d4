"""What every executor must do: inherit `ExecutorContract` and give it an `executor` fixture."""

import threading

import pytest

from landloom.errors import Cancelled
from landloom.raster.execute.base import Executor


class ExecutorContract:
    @pytest.fixture
    def executor(self) -> Executor:
        raise NotImplementedError

    def test_yields_every_task_with_its_own_result(self, executor):
        assert dict(executor.map(_double, range(50), _never)) == {n: 2 * n for n in range(50)}

    def test_no_task_at_all_yields_nothing(self, executor):
        assert list(executor.map(_double, [], _never)) == []

    def test_the_first_error_reaches_the_caller_and_later_tasks_never_start(self, executor):
        drawn = []

        def tasks():
            for n in range(1000):
                drawn.append(n)
                yield n

        with pytest.raises(ZeroDivisionError):
            list(executor.map(_fail_at_three, tasks(), _never))
        assert len(drawn) <= 4 + 2 * executor.workers

    def test_tasks_are_drawn_lazily(self, executor):
        drawn = []

        def tasks():
            for n in range(100):
                drawn.append(n)
                yield n

        results = executor.map(_double, tasks(), _never)
        next(results)
        assert len(drawn) <= 2 * executor.workers
        results.close()

    def test_can_map_again_after_an_error(self, executor):
        with pytest.raises(ZeroDivisionError):
            list(executor.map(_fail_at_three, range(10), _never))
        assert dict(executor.map(_double, range(5), _never)) == {n: 2 * n for n in range(5)}

    def test_a_cancelled_map_raises_and_draws_no_more(self, executor):
        drawn, stop = [], []

        def tasks():
            for n in range(1000):
                drawn.append(n)
                yield n

        results = executor.map(_double, tasks(), lambda: bool(stop))
        next(results)
        stop.append(True)
        with pytest.raises(Cancelled):
            list(results)
        assert len(drawn) <= 4 * executor.workers

    def test_what_is_costly_is_made_for_a_worker_and_serves_its_tasks(self, executor):
        results = dict(executor.map_with(_make, _add, range(20), _never))
        assert results == {n: 100 + n for n in range(20)}

    def test_an_error_in_a_task_with_a_state_reaches_the_caller(self, executor):
        with pytest.raises(ZeroDivisionError):
            list(executor.map_with(_make, _divide, [2, 1, 0], _never))


def _make() -> int:
    return 100


def _add(state: int, n: int, _cancelled) -> int:
    return state + n


def _divide(state: int, n: int, _cancelled) -> float:
    return state / n


def _never() -> bool:
    return False


def _double(n: int, _cancelled) -> int:
    return 2 * n


def _fail_at_three(n: int, _cancelled) -> float:
    return 1 / (n - 3)


class InOneProcess:
    """What only holds where tasks share this process's memory."""

    def test_no_more_tasks_run_at_a_time_than_there_are_workers(self, executor):
        lock, running, most = threading.Lock(), [0], [0]

        def busy(_: int, _cancelled) -> None:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            threading.Event().wait(0.01)
            with lock:
                running[0] -= 1

        list(executor.map(busy, range(20), _never))
        assert most[0] == executor.workers
