"""Workloads as processes of this machine, each under a runner of its own.

The runner is detached: it outlives the server, which finds it again by the files in the
workload's folder. Nothing is kept in memory that files do not tell, too: which cores and GPUs
each has, for one (see `claims`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from landloom.errors import Unavailable
from landloom.runner import folder, processes
from landloom.runner.cgroup import remove_group
from landloom.runner.gpus import VISIBLE
from landloom.runner.processes import Identity
from landloom.server.launchers.base import Observation, Workload
from landloom.server.launchers.claims import Claims
from landloom.server.launchers.isolation import Isolation
from landloom.server.launchers.nursery import Nursery

DEFAULT_NICENESS: Final = 10
"""Workloads leave the processor to the server where both want it, and lose nothing elsewhere."""
_START_SECONDS: Final = 15.0
"""Within that a runner shows itself; for one that does not, it is looked less often."""
_LOOK_SECONDS: Final = 0.01
_LATE_LOOK_SECONDS: Final = 0.25
_REFUSED_SECONDS: Final = 0.25
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
        gpus: int = 0,
        cgroup: Path | None = None,
        niceness: int = DEFAULT_NICENESS,
        isolation: Isolation | None = None,
    ) -> None:
        """Make a launcher.

        Args:
            grace_seconds: Between asking a process tree to end and ending it.
            python: An interpreter that has `landloom` and `psutil`.
            gpus: How many the machine has.
            cgroup: Control group that is handed to us; None tries the server's own.
            niceness: Of workloads; above 0 they leave the processor to the server when it needs it.
            isolation: How users' workloads are kept apart; None runs all as the server's user.
        """
        self._grace_seconds = grace_seconds
        self._cgroup = str(cgroup) if cgroup is not None else None
        self._niceness = niceness
        self._isolation = isolation
        self._gpus = gpus
        self._claims = Claims(_own_cores(), range(gpus))
        self._known: set[Path] = set()
        """Folders of running workloads whose claims are known to be there."""
        inherited = {name: os.environ[name] for name in _RUNNER_VARIABLES if name in os.environ}
        self._nursery = Nursery(python, inherited)

    async def start(self, workload: Workload) -> None:
        """Start it unless it has been started before; return once its runner is on its way.

        Raises:
            Unavailable: The runner did not come up; its own words are in the message.
        """
        try:
            while not await asyncio.to_thread(_was_started, workload.directory):
                runner = await asyncio.to_thread(self._spawn, workload)
                if await _shows_itself(workload, runner):
                    return
                # Another has the folder, or had it, and was killed before it began.
                await asyncio.sleep(_REFUSED_SECONDS)
        except (Unavailable, OSError):
            await asyncio.to_thread(self._unclaim, workload.directory)
            raise

    async def observe(self, directory: Path) -> Observation:
        """Say how it stands, from its folder alone."""
        return await asyncio.to_thread(self._observe, directory)

    async def cancel(self, directory: Path) -> None:
        """Ask for its end. One that was never started ends as soon as it is."""
        await asyncio.to_thread(_cancel, directory)
        await asyncio.to_thread(self._unclaim, directory)

    async def sweep(self, directory: Path) -> None:
        """Kill whatever a lost workload left behind; one whose runner lives is not touched."""
        await asyncio.to_thread(_sweep, directory)

    def _spawn(self, workload: Workload) -> Identity | None:
        """Return who is to run it; None where that one has ended already."""
        directory = workload.directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        spec = self._spec(workload)
        if self._isolation is not None:
            seat = self._isolation.seat(workload.owner, directory, workload.reads)
            own = self._isolation.environment(seat, directory)
            spec = replace(spec, seat=seat, env={**spec.env, **own})
        folder.write_spec(directory, spec)
        return processes.identify(self._nursery.start(directory))

    def _spec(self, workload: Workload) -> folder.Spec:
        spec = workload.spec(grace_seconds=self._grace_seconds)
        environment = spec.env
        cores: tuple[int, ...] = ()
        if workload.confined:
            gpus = min(workload.gpus, self._gpus)
            claim = self._claims.take(workload.directory, cpus=workload.cpus, gpus=gpus)
            cores = claim.cores
            if self._gpus:
                environment = {**environment, VISIBLE: ",".join(map(str, claim.gpus))}
        return replace(
            spec, env=environment, cores=cores, cgroup=self._cgroup, niceness=self._niceness
        )

    def _unclaim(self, directory: Path) -> None:
        """Let others have what a workload was given that nobody began."""
        if not _was_started(directory):
            self._claims.free(directory)

    def _observe(self, directory: Path) -> Observation:
        seen = _observe(directory)
        if seen.state == "running" and directory not in self._known:
            self._claims.remember(directory)
            self._known.add(directory)
        elif seen.state in {"exited", "lost"}:
            self._known.discard(directory)
            self._claims.free(directory)
        return seen


async def _shows_itself(workload: Workload, runner: Identity | None) -> bool:
    """Wait till it can be observed; say whether it can, or its runner was refused.

    Raises:
        Unavailable: Its runner has ended, and nobody began it.
    """
    directory = workload.directory
    soon = time.monotonic() + _START_SECONDS
    while not _was_started(directory):
        # Looked at in this order: one that is gone has left whatever it had to leave.
        if (runner is None or not processes.is_alive(runner)) and not _was_started(directory):
            words = _last_words(directory)
            if words == folder.REFUSAL:
                return False
            raise Unavailable(f"The runner of workload {workload.id} ended at once: {words}")
        # However slow it is: as long as it lives nobody else can tell what becomes of it.
        late = time.monotonic() > soon
        await asyncio.sleep(_LATE_LOOK_SECONDS if late else _LOOK_SECONDS)
    return True


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
    started_at = record.began_at if record is not None else None
    runs = record is not None and processes.is_alive(record.runner)
    # Asked after the process: a runner writes its exit record before it goes.
    ended = folder.read_exit(directory)
    if ended is not None:
        return Observation.of_end(ended, started_at)
    if record is None:
        return Observation(state="absent")
    return Observation(state="running" if runs else "lost", started_at=started_at)


def _cancel(directory: Path) -> None:
    if folder.read_exit(directory) is not None:
        return
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / folder.CANCEL).touch(mode=0o600)
    record = folder.read_runner(directory)
    if record is not None and processes.is_alive(record.runner):
        # The file alone would do, a moment later.
        with suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGTERM)


def _sweep(directory: Path) -> None:
    record = folder.read_runner(directory)
    if record is None or processes.is_alive(record.runner):
        return
    marker = directory.name
    # What has ended for good has no spec any more.
    with suppress(FileNotFoundError):
        marker = folder.read_spec(directory).env.get(folder.MARKER, marker)
    child = record.child
    deadline = time.monotonic() + _SWEEP_SECONDS
    # Again and again, as a process may start another between being found and being killed.
    group = Path(record.cgroup) if record.cgroup is not None else None
    work = directory / folder.WORK
    while left := processes.strays(folder.MARKER, marker, child, work, group):
        processes.signal_all(left, signal.SIGKILL)
        if time.monotonic() >= deadline:
            raise Unavailable(
                f"Processes {[process.pid for process in left]} of workload {directory.name} "
                "could not be killed.",
                suggestion="End them by hand; they belong to another user or hang in the kernel.",
            )
        time.sleep(_LOOK_SECONDS)
    if group is not None:
        remove_group(group)


def _own_cores() -> Iterable[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)
