"""Runners are forked from one process, which may be killed, and which ends with its owner."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from landloom.errors import Unavailable
from landloom.runner import folder
from landloom.runner.folder import Spec
from landloom.server.launchers.nursery import Nursery

DEADLINE_SECONDS = 120


def until(condition):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.005)
    return value


@pytest.fixture
def nursery():
    made = Nursery(sys.executable, {"PATH": os.environ["PATH"]})
    yield made
    made._close()


@pytest.fixture
def workload(tmp_path):
    def make(name, code="print('hello')"):
        directory = tmp_path / name
        directory.mkdir()
        env = {"PATH": os.environ["PATH"]}
        folder.write_spec(directory, Spec((sys.executable, "-c", code), env, 60, 1))
        return directory

    return make


def test_each_folder_gets_a_runner_of_its_own_session(nursery, workload):
    slept = workload("a", "import time; time.sleep(600)")
    pid = nursery.start(slept)
    record = until(lambda: folder.read_runner(slept))
    assert (record.pid, os.getsid(pid)) == (pid, pid)
    runner = psutil.Process(pid)
    assert runner.cwd() == str(slept)
    channels = [each for each in runner.net_connections("unix") if each.type == 5]
    assert channels == [], "the runner holds the server's socket open"
    quick = workload("b")
    nursery.start(quick)
    assert until(lambda: folder.read_exit(quick)).exit_code == 0
    (slept / folder.CANCEL).touch()
    assert until(lambda: folder.read_exit(slept)).reason == "cancelled"
    until(lambda: not psutil.pid_exists(pid))


def test_a_killed_nursery_leaves_its_runners_alone_and_is_made_anew(nursery, workload):
    slept = workload("a", "import time; time.sleep(600)")
    nursery.start(slept)
    until(lambda: folder.read_runner(slept))
    nursery._process.kill()
    nursery._process.wait()
    quick = workload("b")
    nursery.start(quick)
    assert until(lambda: folder.read_exit(quick)).exit_code == 0
    assert folder.read_exit(slept) is None
    (slept / folder.CANCEL).touch()
    assert until(lambda: folder.read_exit(slept)).reason == "cancelled"


def test_it_ends_with_its_owner(workload):
    directory = workload("a", "import time; time.sleep(600)")
    code = (
        "import os, pathlib, sys, time\n"
        "from landloom.server.launchers.nursery import Nursery\n"
        "nursery = Nursery(sys.executable, {'PATH': os.environ['PATH']})\n"
        "nursery.start(pathlib.Path(sys.argv[1]))\n"
        "print(nursery._process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(directory)], stdout=subprocess.PIPE, text=True
    )
    with owner:
        nursery = psutil.Process(int(owner.stdout.readline()))
        until(lambda: folder.read_runner(directory))
        owner.kill()
    until(lambda: not nursery.is_running() or nursery.status() == psutil.STATUS_ZOMBIE)
    assert folder.read_exit(directory) is None
    (directory / folder.CANCEL).touch()
    assert until(lambda: folder.read_exit(directory)).reason == "cancelled"


def test_a_runner_that_fails_says_why_in_its_folder(nursery, tmp_path):
    pid = nursery.start(tmp_path)
    until(lambda: not psutil.pid_exists(pid))
    assert "FileNotFoundError" in (tmp_path / folder.ERRORS).read_text()
    assert oct((tmp_path / folder.ERRORS).stat().st_mode)[-3:] == "600"


def test_an_interpreter_that_cannot_run_it_is_told_in_its_own_words(tmp_path):
    with pytest.raises(Unavailable, match="No module named 'landloom'"):
        Nursery(_without_packages(tmp_path), {}).start(tmp_path)


def _without_packages(tmp_path):
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    script.chmod(0o700)
    return str(script)
