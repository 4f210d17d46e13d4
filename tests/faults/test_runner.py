"""Scripts that misbehave, and kills of what runs them: each run still ends as it should.

After each: the right final status and event, a log that is complete or says what is lost, and no
process left.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from landloom.runner import folder, processes
from landloom.runner.log import LINE_LIMIT
from tests.api.platform import Platform, eventually, platform

GRACE_SECONDS = 60
"""Longest wait for the processes of a run that has ended."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform(tmp_path_factory.mktemp("platform")) as running:
        yield running


def left_over(run_id: str) -> list[psutil.Process]:
    return processes.strays(folder.MARKER, run_id)


def ended(api: Platform, run_id: str, seconds: float = 120) -> tuple[str, dict[str, Any]]:
    """Wait for the end; check that nothing is left; return the status and the last event."""
    done = api.finished(run_id, seconds)
    eventually(lambda: left_over(run_id), lambda left: not left, GRACE_SECONDS)
    # A runner that was killed at once may not have begun it.
    assert done["completeTime"] >= (done["startTime"] or done["createTime"]) >= done["createTime"]
    return done["status"], done["kubeApp"]["events"][-1]


def pid_of_runner(api: Platform, run_id: str) -> int:
    directory = api.settings.workloads_dir / run_id
    record = eventually(lambda: folder.read_runner(directory), lambda it: it is not None)
    assert record is not None
    return record.pid


class TestScripts:
    def test_one_that_leaves_daemons_behind(
        self, api: Platform, rounds: list[random.Random]
    ) -> None:
        script = (
            "import os, sys, time\n"
            "for n in range(int(sys.argv[1])):\n"
            "    if os.fork() == 0:\n"
            "        os.setsid()\n"
            "        if os.fork(): os._exit(0)\n"
            "        os.chdir('/')\n"
            "        for number in (0, 1, 2): os.close(number)\n"
            "        os.execve('/bin/sleep', ['sleep', sys.argv[3]], {})\n"
            "print('daemons', flush=True)\n"
            "sys.exit(int(sys.argv[2]))\n"
        )
        for chance in rounds:
            code = chance.choice([0, 5])
            # Nobody else on this machine sleeps just as long.
            length = f"600.{chance.randrange(10**9):09}"
            run = api.submit(script, args=[str(chance.randint(1, 5)), str(code), length])
            runner = psutil.Process(pid_of_runner(api, run["id"]))
            status, event = ended(api, run["id"])
            assert (status, event["code"]) == (
                ("COMPLETED", "RUN_COMPLETE_EXEC") if code == 0 else ("FAILED", "RUN_FAIL_EXEC")
            )
            assert api.lines(run["id"]) == ["daemons"]
            # Its descendants were its own to the last: whoever lives on has another parent.
            eventually(runner.is_running, lambda runs: not runs, GRACE_SECONDS)
            assert _sleepers(length) == []

    def test_one_that_closes_its_output(self, api: Platform, rounds: list[random.Random]) -> None:
        script = (
            "import os, sys, time\n"
            "print('before', flush=True)\n"
            "os.close(1); os.close(2)\n"
            "time.sleep(float(sys.argv[1]))\n"
            "os._exit(int(sys.argv[2]))\n"
        )
        for chance in rounds:
            code = chance.choice([0, 9])
            run = api.submit(script, args=[str(chance.random()), str(code)])
            status, event = ended(api, run["id"])
            assert status == ("FAILED" if code else "COMPLETED")
            assert api.lines(run["id"]) == ["before"]
            if code:
                assert "exit code 9" in event["message"]

    def test_one_that_prints_binary(self, api: Platform, rounds: list[random.Random]) -> None:
        script = (
            "import random, sys\n"
            "data = random.Random(sys.argv[1]).randbytes(200_000)\n"
            "sys.stdout.buffer.write(data)\n"
        )
        for chance in rounds:
            seed = str(chance.random())
            run = api.submit(script, args=[seed])
            assert ended(api, run["id"])[0] == "COMPLETED"
            data = random.Random(seed).randbytes(200_000).replace(b"\r\n", b"\n")
            wanted = data.decode("utf-8", "replace").removesuffix("\n").split("\n")
            assert api.lines(run["id"]) == [*wanted[:-1], wanted[-1].removesuffix("\r")]

    def test_one_that_prints_a_line_of_ten_megabytes(
        self, api: Platform, rounds: list[random.Random]
    ) -> None:
        script = "import sys\nsys.stdout.write('a' + sys.argv[1] * 10_000_000 + 'z\\nlast\\n')\n"
        for chance in rounds:
            letter = chance.choice("bcd")
            run = api.submit(script, args=[letter])
            assert ended(api, run["id"])[0] == "COMPLETED"
            *pieces, last = api.lines(run["id"])
            assert last == "last"
            assert max(map(len, pieces)) == LINE_LIMIT
            assert "".join(pieces) == "a" + letter * 10_000_000 + "z"

    def test_one_that_ends_by_a_signal(self, api: Platform, rounds: list[random.Random]) -> None:
        script = (
            "import os, signal, sys\n"
            "print('up', flush=True)\n"
            "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
            "os.kill(os.getpid(), int(sys.argv[1]))\n"
        )
        for chance in rounds:
            number = chance.choice(
                [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL, signal.SIGTERM, signal.SIGBUS]
            )
            run = api.submit(script, args=[str(int(number))])
            status, event = ended(api, run["id"])
            assert (status, event["code"]) == ("FAILED", "RUN_FAIL_EXEC")
            assert f"exit code {128 + number} (killed by {number.name})" in event["message"]
            assert api.lines(run["id"])[0] == "up"

    def test_one_that_ignores_the_request_to_end(
        self, api: Platform, rounds: list[random.Random]
    ) -> None:
        script = (
            "import signal, subprocess, sys, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "subprocess.Popen(['setsid', 'sleep', '600'])\n"
            "for n in range(100000): print(n, flush=True); time.sleep(0.01)\n"
        )
        for chance in rounds:
            timed = chance.random() < 0.5
            run = api.submit(script, timeoutSeconds=1 if timed else 600)
            if not timed:
                eventually(lambda: api.first_line(run["id"]), bool)  # noqa: B023
                time.sleep(chance.random())
                api.client.post(f"/runs/{run['id']}/cancel")
            status, event = ended(api, run["id"])
            if timed:
                assert (status, event["code"]) == ("FAILED", "RUN_FAIL_EXEC")
                assert "timeout" in event["message"]
            else:
                assert (status, event["code"]) == ("CANCELLED", "RUN_CANCEL_REQUESTED")
            lines = api.lines(run["id"])
            assert lines == [str(n) for n in range(len(lines))]


COUNTING = (
    "import os, sys, time\n"
    "for n in range(100000):\n"
    "    os.write(1, b'%d\\n' % n)\n"
    "    with open(sys.argv[1], 'w') as file: file.write(str(n))\n"
    "    time.sleep(0.002)\n"
)


class TestKills:
    def test_of_the_script(
        self, api: Platform, rounds: list[random.Random], tmp_path: Path
    ) -> None:
        for chance in rounds:
            noted = tmp_path / str(chance.random())
            run = api.submit(COUNTING, args=[str(noted)])
            directory = api.settings.workloads_dir / run["id"]
            child = eventually(lambda: _child(directory), bool)  # noqa: B023
            time.sleep(chance.random())
            os.kill(child, signal.SIGKILL)
            status, event = ended(api, run["id"])
            assert (status, event["code"]) == ("FAILED", "RUN_FAIL_EXEC")
            assert "(killed by SIGKILL)" in event["message"]
            _log_is_complete(api, run["id"], directory, noted)

    def test_of_the_runner(self, api: Platform, rounds: list[random.Random]) -> None:
        for chance in rounds:
            run = api.submit(COUNTING, args=[os.devnull])
            directory = api.settings.workloads_dir / run["id"]
            runner = pid_of_runner(api, run["id"])
            time.sleep(chance.random() ** 2)
            os.kill(runner, signal.SIGKILL)
            status, event = ended(api, run["id"])
            assert (status, event["code"]) == ("FAILED", "RUN_FAIL_EXEC")
            assert event["message"].startswith(
                ("The process that supervised the script is gone", "The run was lost before its")
            )
            # What was in the pipe is lost with the runner, and the event says that it is gone; what
            # is there is there in whole lines and in order.
            lines = api.lines(run["id"])
            assert lines == [str(n) for n in range(len(lines))]
            assert folder.read_exit(directory) is None

    def test_of_both(self, api: Platform, rounds: list[random.Random]) -> None:
        for chance in rounds:
            run = api.submit(COUNTING, args=[os.devnull])
            directory = api.settings.workloads_dir / run["id"]
            runner = pid_of_runner(api, run["id"])
            victims = [runner, _child(directory) or runner]
            chance.shuffle(victims)
            time.sleep(chance.random() / 4)
            for pid in victims:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            status, event = ended(api, run["id"])
            assert (status, event["code"]) == ("FAILED", "RUN_FAIL_EXEC")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The folder of a platform whose workloads have a disk of two megabytes."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    workloads = tmp_path / "data" / "workloads"
    workloads.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(workloads)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield tmp_path / "data"
    subprocess.run(["umount", "-l", str(workloads)], check=True)


class TestFullDisk:
    def test_a_log_that_fills_the_disk_says_what_is_lost(
        self, small_disk: Path, rounds: list[random.Random]
    ) -> None:
        script = (
            "import sys\n"
            "for n in range(int(sys.argv[1])): print('line', n, 'x' * 80)\n"
            "sys.exit(int(sys.argv[2]))\n"
        )
        with platform(small_disk) as api:
            for chance in rounds:
                count, code = chance.randint(25_000, 40_000), chance.choice([0, 4])
                run = api.submit(script, args=[str(count), str(code)])
                status, event = ended(api, run["id"])
                assert status == ("FAILED" if code else "COMPLETED")
                record = folder.read_exit(api.settings.workloads_dir / run["id"])
                assert record is not None
                lines = api.lines(run["id"])
                kept = [int(line.split()[1]) for line in lines if line.startswith("line ")]
                assert kept == sorted(kept)
                assert len(kept) + record.lost_lines == count
                assert (
                    f"{record.lost_lines} lines of its log are lost: No space" in event["message"]
                )
                assert any(line.startswith("[landloom] ") for line in lines)
                (api.settings.workloads_dir / run["id"] / folder.LOG).unlink()

    def test_room_that_comes_back_is_used(
        self, small_disk: Path, rounds: list[random.Random]
    ) -> None:
        script = (
            "import os, pathlib, sys, time\n"
            "filler = pathlib.Path('filler')\n"
            "with filler.open('wb', buffering=0) as file:\n"
            "    try:\n"
            "        while True: file.write(bytes(4096))\n"
            "    except OSError: pass\n"
            "for n in range(100): os.write(1, b'full %d %s\\n' % (n, b'x' * 2000))\n"
            "time.sleep(0.3)\n"
            "filler.unlink()\n"
            "for n in range(100): os.write(1, b'room %d\\n' % n)\n"
        )
        with platform(small_disk) as api:
            for _ in rounds:
                run = api.submit(script)
                status, event = ended(api, run["id"])
                assert status == "COMPLETED"
                lines = api.lines(run["id"])
                assert [line for line in lines if line.startswith("room")] == [
                    f"room {n}" for n in range(100)
                ]
                told = [line for line in lines if "lines could not be written here" in line]
                assert told
                assert "lines of its log are lost" in event["message"]


def _fake_clock() -> Path | None:
    """Return the library that lies about the time, where it works on this machine."""
    try:
        import libfaketime
    except ImportError:
        return None
    found = sorted(Path(libfaketime.__file__).parent.rglob("libfaketime.so.1"))
    if not found:
        return None
    env = {**os.environ, "LD_PRELOAD": str(found[0]), "FAKETIME": "-1000d"}
    command = [sys.executable, "-c", "import time; print(time.time())"]
    said = subprocess.run(command, env=env, capture_output=True, text=True, check=False).stdout
    return found[0] if said and float(said) < time.time() - 86400 else None


def test_a_clock_that_steps_back_moves_no_time_and_no_limit(
    tmp_path: Path, rounds: list[random.Random]
) -> None:
    library = _fake_clock()
    if library is None:
        pytest.skip("libfaketime is not to be had on this machine")
    for number, chance in enumerate(rounds):
        directory, clock = tmp_path / f"w{number}", tmp_path / f"clock{number}"
        directory.mkdir()
        clock.write_text("+0")
        code = "import time\nfor n in range(10**6): print(n, flush=True); time.sleep(0.01)"
        env = {"PATH": os.environ["PATH"]}
        folder.write_spec(directory, folder.Spec((sys.executable, "-c", code), env, 2, 1))
        fake = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        runner = subprocess.Popen(
            [sys.executable, "-m", "landloom.runner", str(directory)], env={**os.environ, **fake}
        )
        eventually(lambda: _size(directory / folder.LOG), bool)  # noqa: B023
        time.sleep(chance.random())
        # Written anew, not over: a half-written one would be read.
        (tmp_path / "new").write_text(f"-{chance.randint(1000, 10**6)}")
        (tmp_path / "new").replace(clock)
        # Had the clock moved the limit as well, it would not end before the clock is there again.
        assert runner.wait(120) == 0
        record, runs = folder.read_exit(directory), folder.read_runner(directory)
        assert record is not None
        assert runs is not None
        assert record.reason == "timeout"
        assert record.ended_at > runs.started_at
        stamps = [
            int(line.split()[0]) for line in (directory / folder.LOG).read_text().splitlines()
        ]
        assert stamps == sorted(stamps)
        assert len(stamps) == record.lines
        samples = [
            float(line.split()[0]) for line in (directory / "usage").read_text().splitlines()
        ]
        assert samples == sorted(samples)


def _child(directory: Path) -> int | None:
    record = folder.read_runner(directory)
    return record.child_pid if record is not None else None


def _sleepers(length: str) -> list[int]:
    """Return who sleeps for so many seconds: the daemons of above, which have no environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cmdline() == ["sleep", length]:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def _log_is_complete(api: Platform, run_id: str, directory: Path, noted: Path) -> None:
    """Hold the log against what the script noted elsewhere just after each line."""
    lines = api.lines(run_id)
    numbers = [line for line in lines if line.isdigit()]
    assert numbers == [str(n) for n in range(len(numbers))]
    counted = noted.read_text() if noted.exists() else ""
    assert len(numbers) >= (int(counted) + 1 if counted else 0)
    record = json.loads((directory / folder.EXIT).read_text())
    assert (record["lines"], record["lost_lines"]) == (len(lines), 0)


def _lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
