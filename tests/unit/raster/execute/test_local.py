import sys
import threading
from functools import partial

import pytest
from tests.contract.executor import ExecutorContract, InOneProcess
from tests.engine.cubes import never

from landloom.errors import Cancelled
from landloom.raster.execute.local import LocalExecutor


class TestLocalExecutor(ExecutorContract, InOneProcess):
    @pytest.fixture
    def executor(self):
        executor = LocalExecutor(2)
        yield executor
        executor.close()

    @pytest.mark.parametrize("before", [0.005, 0.0001])
    def test_threads_give_the_interpreter_away_soon(self, before):
        kept = sys.getswitchinterval()
        try:
            sys.setswitchinterval(before)
            LocalExecutor(1).close()
            assert sys.getswitchinterval() == pytest.approx(min(before, 0.0005), abs=5e-6)
        finally:
            sys.setswitchinterval(kept)

    @pytest.mark.parametrize("kept", [False, True])
    def test_a_thread_that_does_not_heed_a_cancellation_is_left_behind(self, executor, kept):
        stop, release = threading.Event(), threading.Event()

        def deaf(*_):
            stop.set()
            release.wait()

        run = partial(executor.map_with, object) if kept else executor.map
        with pytest.raises(Cancelled):
            list(run(deaf, range(9), stop.is_set))
        # Its thread still waits; a new map has others.
        results = dict(executor.map(lambda n, _: -n, range(5), never))
        assert results == {n: -n for n in range(5)}
        release.set()

    def test_an_error_tells_the_other_tasks_to_stop(self, executor):
        heard = threading.Event()
        started = threading.Barrier(2)

        def run(n, asked):
            started.wait()
            if n == 0:
                raise ZeroDivisionError
            while not asked():
                threading.Event().wait(0.001)
            heard.set()

        with pytest.raises(ZeroDivisionError):
            list(executor.map(run, range(2), never))
        assert heard.is_set()

    def test_what_is_made_stays_on_the_thread_that_made_it(self, executor):
        made = threading.get_ident
        threads = {
            (state, thread)
            for _, (state, thread) in executor.map_with(
                made, lambda state, _n, _asked: (state, threading.get_ident()), range(5), never
            )
        }
        ((maker, runner),) = threads
        assert maker == runner
