import sys

import pytest

from landloom.errors import SetupProblem
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.execute.selection import executor_of
from landloom.raster.settings import EngineSettings


def test_threads_of_this_machine_by_default():
    executor = executor_of(EngineSettings.from_environment({"LANDLOOM_WORKERS": "3"}))
    assert isinstance(executor, LocalExecutor)
    assert executor.workers == 3
    executor.close()


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "landloom.raster.execute.ray", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SetupProblem) as caught:
        executor_of(EngineSettings.from_environment({"LANDLOOM_EXECUTOR": "ray"}))
    assert "landloom[ray]" in caught.value.suggestion


def test_no_cluster_is_joined_before_there_is_work(monkeypatch):
    env = {"LANDLOOM_EXECUTOR": "ray", "RAY_ADDRESS": "127.0.0.1:1"}
    executor_of(EngineSettings.from_environment(env)).close()
