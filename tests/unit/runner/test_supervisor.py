"""The runner as a process, started as a launcher starts it; tests/contract/launcher.py has more."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from landloom.runner import folder
from landloom.runner.folder import Spec

DEADLINE_SECONDS = 120


@pytest.fixture
def start(tmp_path):
    started = []

    def start(code, *, timeout_seconds=60, before=()):
        env = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
        folder.write_spec(
            tmp_path, Spec((sys.executable, "-c", code), env, timeout_seconds, grace_seconds=1)
        )
        command = [*before, sys.executable, "-m", "landloom.runner", str(tmp_path)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait(DEADLINE_SECONDS)
        process.stderr.close()


def until(condition):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.005)
    return value


def lines(directory):
    log = directory / folder.LOG
    if not log.exists():
        return []
    stamped = (line.partition(b" ") for line in log.read_bytes().split(b"\n")[:-1])
    return [(int(stamp), raw.decode()) for stamp, _, raw in stamped]


def test_a_line_is_in_the_log_while_the_script_goes_on(start, tmp_path):
    runner = start("import time\nprint('first', flush=True); time.sleep(600)")
    assert until(lambda: lines(tmp_path))[0][1] == "first"
    assert runner.poll() is None


def test_a_flood_is_neither_blocked_nor_cut(start, tmp_path):
    runner = start(
        "import sys\n"
        "block = ''.join(f'{n:07d} ' + 'x' * 72 + '\\n' for n in range(1000))\n"
        "for n in range(500): sys.stdout.write(block)"
    )
    assert runner.wait(DEADLINE_SECONDS) == 0
    assert folder.read_exit(tmp_path).lines == len(lines(tmp_path)) == 500_000


def test_prints_of_both_streams_keep_their_order(start, tmp_path):
    start("import os\nfor n in range(200): os.write(1 + n % 2, b'%d\\n' % n)").wait(
        DEADLINE_SECONDS
    )
    assert [raw for _, raw in lines(tmp_path)] == [str(n) for n in range(200)]


def test_the_exit_record_comes_after_every_line_and_says_all(start, tmp_path):
    start("print('a'); print('b', end=''); raise SystemExit(4)")
    until((tmp_path / folder.EXIT).exists)
    record = json.loads((tmp_path / folder.EXIT).read_text())
    assert len(lines(tmp_path)) == 2
    assert record.pop("ended_at")
    record.pop("peak_memory")
    assert record == {
        "exit_code": 4,
        "reason": "exited",
        "lines": 2,
        "lost_lines": 0,
        "log_error": None,
    }


def test_orphans_that_end_do_not_stay_as_zombies(start, tmp_path):
    runner = start(
        "import subprocess, time\n"
        "for _ in range(20): subprocess.run(['sh', '-c', 'sleep 0 & sleep 0 &'])\n"
        "print('made', flush=True); time.sleep(600)"
    )
    until(lambda: lines(tmp_path))
    until(lambda: len(psutil.Process(runner.pid).children(recursive=True)) == 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_runner_cancels(start, tmp_path, number):
    runner = start("print('up', flush=True); import time; time.sleep(600)")
    until(lambda: lines(tmp_path))
    runner.send_signal(number)
    assert runner.wait(DEADLINE_SECONDS) == 0
    assert folder.read_exit(tmp_path).reason == "cancelled"


def test_the_cancel_file_alone_cancels(start, tmp_path):
    runner = start("print('up', flush=True); import time; time.sleep(600)")
    until(lambda: lines(tmp_path))
    (tmp_path / folder.CANCEL).touch()
    assert runner.wait(DEADLINE_SECONDS) == 0
    assert folder.read_exit(tmp_path).reason == "cancelled"


def test_a_hangup_ends_neither_runner_nor_child_but_is_not_blocked_for_it(start, tmp_path):
    runner = start(
        "import signal, time\n"
        "print(signal.getsignal(signal.SIGHUP) == signal.SIG_DFL, flush=True)\n"
        "time.sleep(600)"
    )
    until(lambda: lines(tmp_path))
    runner.send_signal(signal.SIGHUP)
    (tmp_path / folder.CANCEL).touch()
    assert runner.wait(DEADLINE_SECONDS) == 0
    assert lines(tmp_path)[0][1] == "True"


def test_a_full_disk_ends_in_a_count_of_lost_lines(start, tmp_path):
    # Files may grow to 64 blocks of 512 bytes; the kernel refuses the rest, as a full disk would.
    runner = start(
        "for n in range(5000): print('line', n, 'x' * 80)",
        before=["sh", "-c", 'ulimit -f 64; trap "" XFSZ; exec "$@"', "sh"],
    )
    assert runner.wait(DEADLINE_SECONDS) == 0
    record = folder.read_exit(tmp_path)
    assert record.exit_code == 0
    assert 0 < record.lines == len(lines(tmp_path))
    kept = [raw for _, raw in lines(tmp_path) if raw.startswith("line ")]
    assert record.lost_lines == 5000 - len(kept)
    # The log says so where it happened; a shorter piece may still have found room behind that, and
    # only a log with no room for one more sentence leaves it to the exit record.
    told = [raw for _, raw in lines(tmp_path) if raw.startswith("[landloom] ")]
    assert told or (tmp_path / folder.LOG).stat().st_size > 64 * 512 - 128
    assert record.log_error


def test_a_second_runner_is_refused(start, tmp_path):
    first = start("print('once', flush=True); import time; time.sleep(1)")
    until((tmp_path / folder.RUNNER).exists)
    command = [sys.executable, "-m", "landloom.runner", str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == folder.REFUSED
    first.wait(DEADLINE_SECONDS)
    assert subprocess.run(command, check=False).returncode == folder.REFUSED
    assert [raw for _, raw in lines(tmp_path)] == ["once"]


def test_a_broken_spec_is_told_on_stderr(tmp_path):
    (tmp_path / folder.SPEC).write_text('{"argv": []}')
    ended = subprocess.run(
        [sys.executable, "-m", "landloom.runner", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert "is not a workload's spec" in ended.stderr
    assert not (tmp_path / folder.EXIT).exists()


def test_the_child_dies_with_a_killed_runner(start, tmp_path):
    runner = start("print('up', flush=True); import time; time.sleep(600)")
    until(lambda: lines(tmp_path))
    child = psutil.Process(folder.read_runner(tmp_path).child_pid)
    runner.kill()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_stands_apart_from_the_files_of_the_folder(start, tmp_path):
    start("open('log', 'w').write('mine'); print('theirs')").wait(DEADLINE_SECONDS)
    assert [raw for _, raw in lines(tmp_path)] == ["theirs"]
    assert (tmp_path / folder.WORK / "log").read_text() == "mine"
