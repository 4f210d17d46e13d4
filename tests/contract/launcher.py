"""What every launcher must do: inherit `LauncherContract` and give it `launcher` fixtures."""

import asyncio
import os
import signal
import sys
import time

import psutil
import pytest

from landloom.runner import folder, processes
from landloom.server.launchers.base import Launcher, Workload

DEADLINE_SECONDS = 60

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", stubborn], start_new_session=True)
subprocess.Popen(["nohup", "setsid", "sleep", "600"], env={"PATH": "/usr/bin:/bin"})
subprocess.Popen(["sh", "-c", "setsid sleep 600 & setsid sleep 600 &"])
print("started", flush=True)
time.sleep(600)
"""


async def until(condition, what):
    """Wait for an awaitable condition to give something true, and return that."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        value = await condition()
        if value:
            return value
        await asyncio.sleep(0.02)
    pytest.fail(f"{what} did not come within {DEADLINE_SECONDS} s")


def log_lines(directory):
    try:
        text = (directory / folder.LOG).read_text()
    except FileNotFoundError:
        return []
    return [line.partition(" ")[2] for line in text.splitlines()]


class LauncherContract:
    """`launcher` ends what it is asked to end after a second of grace."""

    @pytest.fixture
    def launcher(self) -> Launcher:
        raise NotImplementedError

    @pytest.fixture
    def again(self) -> Launcher:
        """A second launcher over the same folders, as after a restart of the server."""
        raise NotImplementedError

    @pytest.fixture
    def workload(self, tmp_path):
        made = []

        def make(code, *, timeout_seconds=60, name="w1", env=None):
            # Unique in the machine, for strays are found by it.
            identity = f"{name}-{os.getpid()}-{time.monotonic_ns()}"
            made.append(identity)
            return Workload(
                id=identity,
                directory=tmp_path / identity,
                argv=(sys.executable, "-c", code),
                env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"} | (env or {}),
                timeout_seconds=timeout_seconds,
                cpus=1,
                memory_bytes=1 << 30,
            )

        yield make
        for identity in made:
            left = processes.strays(folder.MARKER, identity, None)
            processes.signal_all(left, signal.SIGKILL)
            assert left == [], f"{identity} left processes behind"

    async def ended(self, launcher, workload):
        async def look():
            seen = await launcher.observe(workload.directory)
            return seen if seen.state == "exited" else None

        return await until(look, "the end")

    async def printed(self, workload, line):
        async def look():
            return line in log_lines(workload.directory)

        await until(look, f"the line {line!r}")

    async def test_what_was_never_started_is_absent(self, launcher, tmp_path):
        assert (await launcher.observe(tmp_path / "nothing")).state == "absent"

    async def test_runs_to_its_end_and_tells_code_times_and_reason(self, launcher, workload):
        work = workload("import sys; sys.exit(7)")
        await launcher.start(work)
        seen = await self.ended(launcher, work)
        assert (seen.exit_code, seen.reason) == (7, "exited")
        assert seen.started_at <= seen.ended_at

    async def test_is_running_in_between(self, launcher, workload):
        work = workload("print('up'); import time; time.sleep(600)")
        await launcher.start(work)
        await self.printed(work, "up")
        seen = await launcher.observe(work.directory)
        assert (seen.state, seen.exit_code) == ("running", None)
        assert seen.started_at is not None
        await launcher.cancel(work.directory)
        await self.ended(launcher, work)

    async def test_every_line_is_in_the_log_once_the_end_is_seen(self, launcher, workload):
        work = workload(
            "import sys\n"
            "for n in range(20000):\n"
            "    print('line', n, file=(sys.stdout, sys.stderr)[n % 2])\n"
            "print('no newline', end='')"
        )
        await launcher.start(work)
        await self.ended(launcher, work)
        assert log_lines(work.directory) == [f"line {n}" for n in range(20000)] + ["no newline"]

    async def test_a_signal_is_128_and_its_number(self, launcher, workload):
        work = workload("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
        await launcher.start(work)
        assert (await self.ended(launcher, work)).exit_code == 128 + signal.SIGSEGV

    async def test_a_program_that_is_not_there_ends_with_127_and_says_so(self, launcher, workload):
        work = workload("")
        missing = Workload(**{**_fields(work), "argv": ("/no/such/program",)})
        await launcher.start(missing)
        seen = await self.ended(launcher, missing)
        assert (seen.exit_code, seen.started_at) == (127, None)
        assert "/no/such/program" in log_lines(work.directory)[0]

    async def test_sees_only_the_environment_it_was_given(self, launcher, workload, monkeypatch):
        monkeypatch.setenv("SERVER_SECRET", "x")
        work = workload(
            "import os; print(os.environ.get('SERVER_SECRET'), os.environ['MINE'])",
            env={"MINE": "yes"},
        )
        await launcher.start(work)
        await self.ended(launcher, work)
        assert log_lines(work.directory) == ["None yes"]

    async def test_starting_again_runs_nothing_twice(self, launcher, again, workload):
        work = workload("print('once')")
        await launcher.start(work)
        await again.start(work)
        await self.ended(again, work)
        await again.start(work)
        assert log_lines(work.directory) == ["once"]

    async def test_starting_at_the_same_time_runs_nothing_twice(self, launcher, again, workload):
        work = workload("print('once')")
        await asyncio.gather(launcher.start(work), again.start(work), launcher.start(work))
        await self.ended(launcher, work)
        assert log_lines(work.directory) == ["once"]

    async def test_a_restarted_server_follows_what_runs(self, launcher, again, workload):
        work = workload("print('up'); import time; time.sleep(600)")
        await launcher.start(work)
        await self.printed(work, "up")
        assert (await again.observe(work.directory)).state == "running"
        await again.cancel(work.directory)
        assert (await self.ended(again, work)).reason == "cancelled"

    async def test_cancel_lets_it_clean_up(self, launcher, workload):
        work = workload(
            "import signal, sys, time\n"
            "signal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit(3)))\n"
            "print('up')\n"
            "time.sleep(600)"
        )
        await launcher.start(work)
        await self.printed(work, "up")
        await launcher.cancel(work.directory)
        seen = await self.ended(launcher, work)
        assert (seen.reason, seen.exit_code) == ("cancelled", 3)
        assert log_lines(work.directory)[-1] == "bye"

    async def test_cancel_ends_a_stubborn_tree_and_leaves_no_process(self, launcher, workload):
        work = workload(STUBBORN)
        await launcher.start(work)
        await self.printed(work, "started")
        tree = _tree(work.directory)
        await launcher.cancel(work.directory)
        seen = await self.ended(launcher, work)
        assert (seen.reason, seen.exit_code) == ("cancelled", 128 + signal.SIGKILL)
        assert [pid for pid in tree if _runs(pid)] == []

    async def test_cancel_before_the_start_runs_nothing(self, launcher, workload):
        work = workload("print('never')")
        await launcher.cancel(work.directory)
        await launcher.start(work)
        seen = await self.ended(launcher, work)
        assert (seen.reason, seen.started_at) == ("cancelled", None)
        assert log_lines(work.directory) == []

    async def test_cancel_after_the_end_changes_nothing(self, launcher, workload):
        work = workload("")
        await launcher.start(work)
        before = await self.ended(launcher, work)
        await launcher.cancel(work.directory)
        assert await launcher.observe(work.directory) == before

    async def test_time_that_runs_out_ends_a_stubborn_tree(self, launcher, workload):
        work = workload(STUBBORN, timeout_seconds=10)
        await launcher.start(work)
        await self.printed(work, "started")
        tree = _tree(work.directory)
        seen = await self.ended(launcher, work)
        assert (seen.reason, seen.exit_code) == ("timeout", 128 + signal.SIGKILL)
        assert [pid for pid in tree if _runs(pid)] == []

    async def test_what_it_leaves_in_the_background_is_ended_with_it(self, launcher, workload):
        work = workload(
            "import subprocess; print(subprocess.Popen(['setsid', 'sleep', '600']).pid)"
        )
        await launcher.start(work)
        seen = await self.ended(launcher, work)
        assert (seen.reason, seen.exit_code) == ("exited", 0)
        assert not _runs(int(log_lines(work.directory)[0]))

    async def test_a_killed_runner_reads_lost_and_sweep_leaves_none(self, launcher, workload):
        work = workload(STUBBORN)
        await launcher.start(work)
        await self.printed(work, "started")
        tree = _tree(work.directory)
        psutil.Process(folder.read_runner(work.directory).pid).kill()

        async def is_lost():
            return (await launcher.observe(work.directory)).state == "lost"

        await until(is_lost, "the loss")
        await launcher.sweep(work.directory)
        assert [pid for pid in tree if _runs(pid)] == []
        await launcher.start(work)
        assert (await launcher.observe(work.directory)).state == "lost"

    async def test_sweep_never_touches_what_runs_or_is_absent(self, launcher, workload, tmp_path):
        await launcher.sweep(tmp_path / "nothing")
        work = workload("print('up'); import time; time.sleep(600)")
        await launcher.start(work)
        await self.printed(work, "up")
        await launcher.sweep(work.directory)
        assert (await launcher.observe(work.directory)).state == "running"
        await launcher.cancel(work.directory)
        await self.ended(launcher, work)


def _fields(workload):
    return {name: getattr(workload, name) for name in workload.__dataclass_fields__}


def _tree(directory):
    """Every process below the runner, which itself goes a moment after it tells the end."""
    runner = psutil.Process(folder.read_runner(directory).pid)
    return [child.pid for child in runner.children(recursive=True)]


def _runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
