"""Ray: the executor's contract, and what happens when workers and nodes die."""

import importlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import ray
from tests.contract.executor import ExecutorContract
from tests.engine.cubes import never
from tests.engine.saboteur import Saboteur

from landloom.errors import Cancelled, SceneReadFailed

PATIENCE_SECONDS = 240


class TestRayExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self, ray_executor):
        return ray_executor

    def test_tasks_run_in_other_processes(self, ray_executor):
        pids = {pid for _, pid in ray_executor.map(_pid, range(8), never)}
        assert os.getpid() not in pids

    def test_an_error_of_the_engine_comes_whole_and_is_not_tried_again(
        self, ray_executor, tmp_path
    ):
        with pytest.raises(SceneReadFailed) as caught:
            list(ray_executor.map(_fail, [tmp_path], never))
        assert type(caught.value) is SceneReadFailed
        assert caught.value.message == "Scene S2 cannot be read."
        assert caught.value.suggestion == "Try again."
        assert "_fail" in caught.value.__notes__[0]
        assert len(list(tmp_path.iterdir())) == 1

    def test_what_is_costly_is_made_once_a_node_and_ends_with_the_map(self, ray_executor, tmp_path):
        made = list(ray_executor.map_with(_Maker(tmp_path), _pid_with, range(12), never))
        assert len({pid for _, pid in made}) == len(list(tmp_path.iterdir())) <= 2
        again = list(ray_executor.map(_double, range(3), never))
        assert len(again) == 3

    def test_the_environment_reaches_the_workers_but_neither_settings_nor_logs(
        self, ray_executor, monkeypatch
    ):
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "k3pt-to-ourselves")
        monkeypatch.setenv("WHEROBOTS_API_KEY", "stays-here")
        assert dict(ray_executor.map(_secrets, [0], never)) == {0: ("k3pt-to-ourselves", None)}
        assert "k3pt" not in str(ray.get_runtime_context().runtime_env)
        session = Path(ray._private.worker._global_node.get_session_dir_path())
        logs = [path for path in session.rglob("*") if path.is_file()]
        assert logs
        assert not any(b"k3pt-to-ourselves" in path.read_bytes() for path in logs)

    def test_an_address_where_no_cluster_is_says_so(self):
        # This process has joined a cluster; only another one can fail to.
        code = "from landloom.raster.execute.ray import RayExecutor as R; R('127.0.0.1:1').workers"
        done = subprocess.run(
            [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120
        )
        assert "Unavailable: No Ray cluster lets us in at 127.0.0.1:1" in done.stderr


class TestLosses:
    def test_a_killed_worker_loses_no_task_and_repeats_none(self, ray_executor, tmp_path):
        saboteur = Saboteur(ray_executor, tmp_path, at=3)
        results = list(saboteur.map(_double, range(12), never))
        assert sorted(results) == [(n, 2 * n) for n in range(12)]
        assert saboteur.deaths == 1
        assert saboteur.completed() == dict.fromkeys(range(12), 1)

    def test_a_killed_actor_is_made_again(self, ray_executor, tmp_path):
        saboteur = Saboteur(ray_executor, tmp_path, at=3)
        results = list(saboteur.map_with(_hundred, _add, range(12), never))
        assert sorted(results) == [(n, 100 + n) for n in range(12)]
        assert saboteur.deaths == 1
        assert set(saboteur.completed()) == set(range(12))
        assert not saboteur.repeated()


class TestCancel:
    def test_frees_workers_that_do_not_ask(self, ray_executor, tmp_path):
        stop = threading.Event()
        tasks = [tmp_path / str(n) for n in range(20)]
        _set_when_there(stop, tmp_path)
        with pytest.raises(Cancelled):
            list(ray_executor.map(_deaf, tasks, stop.is_set))
        # Who is still busy could not do this: the cluster has as many cores as tasks here.
        results = dict(ray_executor.map(_double, range(4), never))
        assert results == {n: 2 * n for n in range(4)}

    def test_a_worker_in_the_middle_of_an_import_is_not_used_again(self, ray_executor, tmp_path):
        package, started = tmp_path / "slowly", tmp_path / "started"
        package.mkdir()
        started.mkdir()
        (package / "part.py").touch()
        (package / "__init__.py").write_text(SLOWLY)
        stop = threading.Event()
        _set_when_there(stop, started)
        with pytest.raises(Cancelled):
            list(ray_executor.map(_import_slowly, [tmp_path] * 4, stop.is_set))
        (tmp_path / "go").touch()
        found = list(ray_executor.map(_import_slowly, [tmp_path] * 4, never))
        assert found == [(tmp_path, "slowly.part")] * 4

    def test_a_task_that_asks_hears_of_it(self, ray_executor, tmp_path):
        stop = threading.Event()
        _set_when_there(stop, tmp_path)
        with pytest.raises(Cancelled):
            list(ray_executor.map_with(_hundred, _until_cancelled, [tmp_path], stop.is_set))
        assert (tmp_path / "heard").exists()


SLOWLY = """
import slowly.part, os, pathlib, time
folder = pathlib.Path(__file__).parents[1]
(folder / "started" / str(os.getpid())).touch()
while not (folder / "go").exists():
    time.sleep(0.01)
name = slowly.part.__name__
"""
"""A package whose import takes until it is told to go on; only then it looks at its part."""


def _import_slowly(folder, _cancelled):
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("slowly").name
    finally:
        sys.path.remove(str(folder))


def _double(n, _cancelled):
    return 2 * n


def _hundred():
    return 100


def _add(state, n, _cancelled):
    return state + n


def _pid(_n, _cancelled):
    return os.getpid()


def _pid_with(_state, _n, _cancelled):
    return os.getpid()


class _Maker:
    """Leaves a file for each time it is called."""

    def __init__(self, folder):
        self._folder = folder

    def __call__(self):
        (self._folder / f"{os.getpid()}-{os.urandom(4).hex()}").touch()


def _fail(folder, _cancelled):
    (folder / os.urandom(4).hex()).touch()
    raise SceneReadFailed("Scene S2 cannot be read.", suggestion="Try again.")


def _secrets(_n, _cancelled):
    return os.environ.get("AWS_SECRET_ACCESS_KEY"), os.environ.get("WHEROBOTS_API_KEY")


def _deaf(path, _cancelled):
    path.touch()
    threading.Event().wait(600)


def _until_cancelled(_state, folder, cancelled):
    (folder / "there").touch()
    while not cancelled():
        threading.Event().wait(0.01)
    (folder / "heard").touch()


def _set_when_there(event, folder):
    """Set the event, from a thread, once something is in the folder, or a map takes too long."""

    def look():
        ends = time.monotonic() + PATIENCE_SECONDS
        while not any(folder.iterdir()) and time.monotonic() < ends:
            threading.Event().wait(0.01)
        event.set()

    threading.Thread(target=look, daemon=True).start()
