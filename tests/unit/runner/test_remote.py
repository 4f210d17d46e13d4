"""A workload on a node: what it tells down its output, and what killed ones leave."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import asdict

import psutil
import pytest

from landloom.runner import folder, processes
from landloom.runner.frames import Receiver
from landloom.runner.remote import MANIFEST, Manifest, clear_left

SLEEPER = "import subprocess, time; subprocess.Popen(['setsid', 'sleep', '600']); print('up', flush=True); time.sleep(600)"  # noqa: E501


@pytest.fixture
def start(tmp_path):
    """Start a workload on a node whose temporary folder is `tmp`."""
    (tmp_path / "tmp").mkdir()
    started = []

    def start(code, name="w1", under=(), after=()):
        spec = folder.Spec(
            argv=("server/python", "-c", code),
            env={"PATH": os.environ["PATH"], folder.MARKER: f"{name}-{os.getpid()}"},
            timeout_seconds=60,
            grace_seconds=1,
        )
        manifest = Manifest(
            directory="/server/w1", hook="/server/hook", python="server/python", carried=()
        )
        source = tmp_path / "source"
        source.mkdir()
        (source / MANIFEST).write_text(json.dumps(asdict(manifest)))
        (source / folder.SPEC).write_text(json.dumps(asdict(spec)))
        with tarfile.open(tmp_path / "w.tar", "w") as archive:
            for file in source.iterdir():
                archive.add(file, file.name)
        node = subprocess.Popen(
            [*under, sys.executable, "-m", "landloom.runner.remote", "w.tar", *after],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path / "tmp")},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(node)
        return node

    yield start
    for node in started:
        node.kill()
        node.wait(120)
        node.stdout.close()


def frames_until(node, name):
    receiver, got = Receiver(), {}
    for line in node.stdout:
        got |= {frame.name: frame.data for frame in receiver.feed(line)}
        if name in got:
            return got
    pytest.fail(f"no {name} came: {receiver.others}")


def test_tells_log_and_end_and_leaves_nothing(start, tmp_path):
    node = start("print('hello'); raise SystemExit(7)")
    told = frames_until(node, folder.EXIT)
    assert node.wait(120) == 0
    assert told[folder.LOG].endswith(b" hello\n")
    assert json.loads(told[folder.EXIT])["exit_code"] == 7
    assert json.loads(told[folder.RUNNER])["pid"] != node.pid
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "w.tar").exists()


@pytest.mark.parametrize("above", [1, 2])
def test_it_ends_the_workload_where_what_stood_above_it_is_gone(start, tmp_path, above):
    # As where a cluster's head is killed: nobody is left who would stop the job. Two above it is
    # the raylet, which the supervisor that it started outlives for a while.
    between = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])"]
    node = start(SLEEPER, under=between * above)
    frames_until(node, folder.LOG)
    node.kill()
    node.wait(120)
    deadline = time.monotonic() + 120
    while left := processes.strays(folder.MARKER, f"w1-{os.getpid()}", None):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
    while list((tmp_path / "tmp").iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_lets_nothing_run_whose_parent_was_gone_before_it_looked(start, tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait(120)
    node = start(SLEEPER, after=[str(gone.pid)])
    assert node.wait(120) is not None
    assert processes.strays(folder.MARKER, f"w1-{os.getpid()}", None) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_killed_it_takes_the_workload_along_and_the_next_clears_up(start, tmp_path):
    node = start(SLEEPER)
    runner = json.loads(frames_until(node, folder.LOG)[folder.RUNNER])["pid"]
    runner = psutil.Process(runner)
    tree = runner.children(recursive=True)
    assert tree
    node.send_signal(signal.SIGKILL)
    _gone, alive = psutil.wait_procs([runner, *tree], timeout=120)
    assert alive == []
    assert processes.strays(folder.MARKER, f"w1-{os.getpid()}", None) == []
    (left,) = (tmp_path / "tmp").iterdir()
    clear_left(tmp_path / "tmp")
    assert left.exists(), "one that is young may only be starting"
    os.utime(left, (time.time() - 3600,) * 2)
    for held in (left, left / folder.LOCK):
        lock = os.open(held, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        clear_left(tmp_path / "tmp")
        assert left.exists(), "somebody works there"
        os.close(lock)
    clear_left(tmp_path / "tmp")
    assert not left.exists()
