"""Workloads as processes of this machine, each under a runner of its own.

The runner is detached: it outlives the server, which finds it again by the files in the
workload's folder. Nothing is kept in memory but the handles by which ended runners are collected.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from landloom.errors import Unavailable
from landloom.runner import folder, processes
from landloom.runner.processes import Identity
from landloom.server.launchers.base import Observation, Workload

_START_SECONDS: Final = 15.0
"""How long a runner may take to show itself; after that `observe` tells what became of it."""
_LOOK_SECONDS: Final = 0.01
_SWEEP_SECONDS: Final = 10.0
_RUNNER_VARIABLES: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "PYTHONPATH")
"""What the runner itself gets of the server's environment; the job's own is in the spec."""


class LocalLauncher:
    """Starts workloads on this machine."""

    def __init__(
        self,
        *,
        grace_seconds: float = folder.DEFAULT_GRACE_SECONDS,
        python: str = sys.executable,
    ) -> None:
        """Make a launcher; `python` is an interpreter that has `landloom` and `psutil`."""
        self._grace_seconds = grace_seconds
        self._python = python
        self._runners: list[subprocess.Popen[bytes]] = []

    async def start(self, workload: Workload) -> None:
        """Start it unless it has been started before; return once its runner is on its way.

        Raises:
            Unavailable: The runner did not come up; its own words are in the message.
        """
        self._collect()
        runner = await asyncio.to_thread(self._spawn, workload)
        if runner is None:
            return
        self._runners.append(runner)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            ended = runner.poll()
            if _was_started(workload.directory):
                return
            if ended == folder.REFUSED:
                return
            if ended:
                raise Unavailable(
                    f"The runner of workload {workload.id} ended at once with status {ended}: "
                    f"{_last_words(workload.directory)}"
                )
            await asyncio.sleep(_LOOK_SECONDS)

    async def observe(self, directory: Path) -> Observation:
        """Say how it stands, from its folder alone."""
        self._collect()
        return await asyncio.to_thread(_observe, directory)

    async def cancel(self, directory: Path) -> None:
        """Ask for its end. One that was never started ends as soon as it is."""
        await asyncio.to_thread(_cancel, directory)

    async def sweep(self, directory: Path) -> None:
        """Kill whatever a lost workload left behind; one whose runner lives is not touched."""
        await asyncio.to_thread(_sweep, directory)

    def _spawn(self, workload: Workload) -> subprocess.Popen[bytes] | None:
        directory = workload.directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _was_started(directory):
            return None
        spec = folder.Spec(
            argv=workload.argv,
            env={**workload.env, folder.MARKER: workload.id},
            timeout_seconds=workload.timeout_seconds,
            grace_seconds=self._grace_seconds,
            memory_limit=workload.memory_limit,
        )
        folder.write_spec(directory, spec)
        # Created here, so that it is never more readable than the rest.
        errors = os.open(
            directory / folder.ERRORS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode=0o600
        )
        try:
            return subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
                # -P: the folder it stands in must not shadow modules.
                [self._python, "-P", "-m", "landloom.runner", str(directory)],
                env={name: os.environ[name] for name in _RUNNER_VARIABLES if name in os.environ},
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
        finally:
            os.close(errors)

    def _collect(self) -> None:
        """Take the status of runners that ended, so that they do not stay as zombies."""
        self._runners = [runner for runner in self._runners if runner.poll() is None]


def _was_started(directory: Path) -> bool:
    return (directory / folder.RUNNER).exists() or (directory / folder.EXIT).exists()


def _last_words(directory: Path) -> str:
    with suppress(OSError):
        lines = (directory / folder.ERRORS).read_text(errors="replace").splitlines()
        if lines:
            return lines[-1]
    return "it said nothing"


def _observe(directory: Path) -> Observation:
    record = folder.read_runner(directory)
    started_at = datetime.fromisoformat(record.started_at) if record else None
    runs = record is not None and processes.is_alive(_runner_of(record))
    # Asked after the process: a runner writes its exit record before it goes.
    ended = folder.read_exit(directory)
    if ended is not None:
        return Observation(
            state="exited",
            started_at=started_at,
            ended_at=datetime.fromisoformat(ended.ended_at),
            exit_code=ended.exit_code,
            reason=ended.reason,
            peak_memory=ended.peak_memory,
        )
    if record is None:
        return Observation(state="absent")
    return Observation(state="running" if runs else "lost", started_at=started_at)


def _cancel(directory: Path) -> None:
    if folder.read_exit(directory) is not None:
        return
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / folder.CANCEL).touch(mode=0o600)
    record = folder.read_runner(directory)
    if record is not None and processes.is_alive(_runner_of(record)):
        # The file alone would do, a moment later.
        with suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGTERM)


def _sweep(directory: Path) -> None:
    record = folder.read_runner(directory)
    if record is None or processes.is_alive(_runner_of(record)):
        return
    marker = folder.read_spec(directory).env.get(folder.MARKER, directory.name)
    child = _child_of(record)
    deadline = time.monotonic() + _SWEEP_SECONDS
    # Again and again, as a process may start another between being found and being killed.
    while left := processes.strays(folder.MARKER, marker, child, directory / folder.WORK):
        processes.signal_all(left, signal.SIGKILL)
        if time.monotonic() >= deadline:
            raise Unavailable(
                f"Processes {[process.pid for process in left]} of workload {directory.name} "
                "could not be killed.",
                suggestion="End them by hand; they belong to another user or hang in the kernel.",
            )
        time.sleep(_LOOK_SECONDS)


def _runner_of(record: folder.RunnerRecord) -> Identity:
    return Identity(record.pid, record.create_time, record.start_ticks)


def _child_of(record: folder.RunnerRecord) -> Identity | None:
    if record.child_pid is None or record.child_create_time is None:
        return None
    return Identity(record.child_pid, record.child_create_time, record.child_start_ticks)
