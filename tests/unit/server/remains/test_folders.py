"""Folders of workloads as they are left, and what is still there when they were cleared."""

import fcntl
import os
import time

import pytest

from landloom.runner import folder
from landloom.runner.log import LogWriter
from landloom.server.remains.folders import clear, remove, remove_left
from landloom.server.workflows.folder import PROGRESS

HOUR = 3600.0


@pytest.fixture
def left(tmp_path):
    """The folder of a workload that has ended."""
    made = tmp_path / "w1"
    for name in ("work/deep", "tmp", "profile", "script", "jars"):
        (made / name).mkdir(parents=True)
        (made / name / "file").write_text("x")
    kept = ("log", "log.index", "usage", "exit", "runner.json", "runner.lock", "runner.err")
    for name in (*kept, "cancel", "ray.json", "spec.json", "passwd", "starts"):
        (made / name).write_text("x")
    (made / "work" / PROGRESS).write_text("{}")
    return made


KEPT = {
    *("log", "log.index", "usage", "exit", "runner.json", "runner.lock", "runner.err", "cancel"),
    "ray.json",
}


def names(directory):
    return {each.name for each in directory.iterdir()}


def test_log_figures_and_end_stay_and_all_else_goes(left):
    assert clear(left, is_workflow=False)
    assert names(left) == KEPT
    assert clear(left, is_workflow=False)


def test_the_events_of_a_workflow_stay(left):
    assert clear(left, is_workflow=True)
    assert names(left) == {*KEPT, "work"}
    assert names(left / "work") == {PROGRESS}


def test_links_are_removed_and_what_they_name_stays(left, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("x")
    (left / "work" / "link").symlink_to(tmp_path / "mine")
    (left / "out").symlink_to(tmp_path / "mine")
    assert clear(left, is_workflow=False)
    assert names(left) == KEPT
    assert (tmp_path / "mine" / "file").read_text() == "x"


def test_folders_that_a_script_closed_go_as_well(left):
    (left / "work" / "deep").chmod(0)
    (left / "work").chmod(0o500)
    assert clear(left, is_workflow=False)
    assert names(left) == KEPT


def test_nothing_goes_while_its_runner_is_there(left):
    before = names(left)
    with (left / folder.LOCK).open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not clear(left, is_workflow=False)
        assert not remove(left)
    assert names(left) == before
    assert remove(left)
    assert not left.exists()


def test_nothing_goes_while_its_log_is_written(left):
    before = names(left)
    (left / "log").write_text("")
    writer = LogWriter(left)
    assert not clear(left, is_workflow=False)
    assert names(left) == before
    writer.close()
    assert clear(left, is_workflow=False)


def test_what_a_killed_server_left_goes_once_it_is_old(tmp_path):
    for name in (".new-old", ".new-held", ".new-young", "kept"):
        (tmp_path / name / "site").mkdir(parents=True)
    (tmp_path / ".new-held" / folder.LOCK).touch()
    for name in (".new-old", ".new-held", "kept"):
        os.utime(tmp_path / name, (time.time() - 2 * HOUR,) * 2)
    with (tmp_path / ".new-held" / folder.LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_left(tmp_path, ".new-", before=time.time() - HOUR)
    assert names(tmp_path) == {".new-held", ".new-young", "kept"}
    remove_left(tmp_path / "absent", ".new-", before=time.time())
