import os
import subprocess
import sys
from dataclasses import replace

import pytest

from landloom.runner import processes

SLEEP = [sys.executable, "-c", "print(flush=True); import time; time.sleep(600)"]


@pytest.fixture
def child():
    started = []

    def start(**options):
        process = subprocess.Popen(
            SLEEP,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            **options,
        )
        process.stdout.readline()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_process_is_itself_and_nobody_else():
    me = processes.identify(os.getpid())
    assert processes.is_alive(me)
    assert not processes.is_alive(replace(me, start_ticks=me.start_ticks + 1))
    assert not processes.is_alive(replace(me, start_ticks=None, create_time=me.create_time - 60))


def test_a_corrected_clock_does_not_make_a_process_another():
    me = processes.identify(os.getpid())
    assert processes.is_alive(replace(me, create_time=me.create_time - 3600))


def test_a_zombie_is_not_alive(child):
    process = child()
    identity = processes.identify(process.pid)
    process.kill()
    # Waits for the end without collecting it.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not processes.is_alive(identity)


def test_nobody_has_a_free_id(child):
    process = child()
    process.kill()
    process.wait()
    assert processes.identify(process.pid) is None


class TestStrays:
    def found(self, *arguments):
        return {process.pid for process in processes.strays("LANDLOOM_TEST", *arguments)}

    def test_are_known_by_the_marker(self, child):
        mine = child(env={"LANDLOOM_TEST": "mine"})
        child(env={"LANDLOOM_TEST": "other"})
        child(env={})
        assert self.found("mine") == {mine.pid}

    def test_are_known_by_the_session(self, child):
        mine = child(env={})
        assert self.found("mine", processes.identify(mine.pid)) == {mine.pid}

    def test_are_not_the_session_of_a_later_owner_of_the_id(self, child):
        other = processes.identify(child(env={}).pid)
        gone = replace(other, start_ticks=other.start_ticks - 1)
        assert self.found("mine", gone) == set()

    def test_are_known_by_the_folder_they_stand_in(self, child, tmp_path):
        (tmp_path / "work" / "deep").mkdir(parents=True)
        mine = child(env={}, cwd=tmp_path / "work" / "deep")
        child(env={}, cwd=tmp_path)
        assert self.found("mine", None, tmp_path / "work") == {mine.pid}

    def test_are_never_the_one_who_asks(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert self.found("mine", processes.identify(os.getpid()), tmp_path) == set()
