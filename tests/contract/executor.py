"""What every executor must do: inherit `ExecutorContract` and give it an `executor` fixture."""

import threading

import pytest

from landloom.raster.execute.base import Executor


class ExecutorContract:
    @pytest.fixture
    def executor(self) -> Executor:
        raise NotImplementedError

    def test_yields_every_task_with_its_own_result(self, executor):
        assert dict(executor.map(_double, range(50))) == {n: 2 * n for n in range(50)}

    def test_no_task_at_all_yields_nothing(self, executor):
        assert list(executor.map(_double, [])) == []

    def test_the_first_error_reaches_the_caller_and_later_tasks_never_start(self, executor):
        drawn = []

        def tasks():
            for n in range(1000):
                drawn.append(n)
                yield n

        with pytest.raises(ZeroDivisionError):
            list(executor.map(_fail_at_three, tasks()))
        assert len(drawn) <= 4 + 2 * executor.workers

    def test_tasks_are_drawn_lazily(self, executor):
        drawn = []

        def tasks():
            for n in range(100):
                drawn.append(n)
                yield n

        results = executor.map(_double, tasks())
        next(results)
        assert len(drawn) <= 2 * executor.workers
        results.close()

    def test_can_map_again_after_an_error(self, executor):
        with pytest.raises(ZeroDivisionError):
            list(executor.map(_fail_at_three, range(10)))
        assert dict(executor.map(_double, range(5))) == {n: 2 * n for n in range(5)}


def _double(n: int) -> int:
    return 2 * n


def _fail_at_three(n: int) -> float:
    return 1 / (n - 3)


class InOneProcess:
    """What only holds where tasks share this process's memory."""

    def test_no_more_tasks_run_at_a_time_than_there_are_workers(self, executor):
        lock, running, most = threading.Lock(), [0], [0]

        def busy(_: int) -> None:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            threading.Event().wait(0.01)
            with lock:
                running[0] -= 1

        list(executor.map(busy, range(20)))
        assert most[0] == executor.workers
