"""Workloads as Ray Jobs: each a job of the cluster, its files copied out while it runs.

The job runs `landloom.runner.remote` on a node that has what the runtime asks for. Ray is asked for
little: to place the job, to stop it, to tell its state, to pass on its output. In the workload's
folder, `ray.json` says which job it is; the rest is what the runner would write there itself, so a
server that comes back finds all it needs, and logs outlive the cluster.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from landloom.errors import LandloomError, Unavailable
from landloom.runner import folder
from landloom.runner.log import LogWriter
from landloom.server.kit.patience import patiently
from landloom.server.launchers.base import Observation, Workload
from landloom.server.launchers.ray_follow import NOT_STARTABLE, Follower
from landloom.server.launchers.ray_jobs import Away, RayJobs
from landloom.server.launchers.ray_package import ARCHIVE, pack
from landloom.server.launchers.ray_record import JobRecord, locked, observe, read_job, write_job

_PATIENCE_SECONDS: Final = 30.0
"""How long a cluster that answers may refuse a job; one that comes up does."""
_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 4.0
_STOP_MARGIN_SECONDS: Final = 20
"""Beyond the grace, before Ray kills what it was told to stop."""
_STOP_LATER_SECONDS: Final = 3600.0
"""How long a cluster that does not answer is told to stop a job that nobody follows any more."""
_ANSWER: Final = "the Ray cluster to answer"
_ENTRYPOINT: Final = "exec {python} -P -m landloom.runner.remote {archive} $PPID"
"""For a shell of Ray's supervisor of the job, in whose place the program comes."""

_log = structlog.get_logger("landloom.ray")


@dataclass(slots=True, eq=False)
class _Submission:
    """A workload that is being handed in."""

    task: asyncio.Task[None]
    waits: asyncio.Event
    """Set once the cluster does not answer: it may take long now."""


class RayLauncher:
    """Starts workloads on a Ray cluster."""

    def __init__(
        self,
        address: str,
        home: Path,
        *,
        python: str = "python",
        job_python: str = "",
        grace_seconds: float = folder.DEFAULT_GRACE_SECONDS,
        away_seconds: float = 60.0,
    ) -> None:
        """Make a launcher; the cluster is asked when there is something to do.

        Args:
            address: Of the cluster, as `ray job submit` takes it.
            home: The server's data folder; what a workload names in it travels along.
            python: Command on the nodes for an interpreter that has `landloom` and `psutil`.
            job_python: The server's interpreter of jobs; on a node its own serves instead.
            grace_seconds: Between asking a process tree to end and ending it.
            away_seconds: How long a cluster may not answer before what ran on it is lost.
        """
        self._jobs = RayJobs(address)
        self._home = home
        self._python = python
        self._job_python = job_python
        self._grace_seconds = grace_seconds
        self._away_seconds = away_seconds
        self._submissions: dict[Path, _Submission] = {}
        self._followers: dict[Path, asyncio.Task[None]] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    async def start(self, workload: Workload) -> None:
        """Submit it unless that has been done; return once Ray has taken it, or does not answer.

        It is submitted whenever Ray answers again; until then it is seen waiting for that.

        Raises:
            Unavailable: The cluster does not want it.
            InvalidInput: What it brings along is too much.
        """
        directory = workload.directory
        submission = self._submissions.get(directory)
        if submission is None:
            waits = asyncio.Event()
            task = asyncio.create_task(self._submit(workload, waits), name=f"submit {workload.id}")
            submission = self._submissions[directory] = _Submission(task, waits)
            task.add_done_callback(lambda _task: self._submissions.pop(directory, None))
        waiting = asyncio.create_task(submission.waits.wait())
        try:
            await asyncio.wait({submission.task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if submission.task.done():
            submission.task.result()

    async def observe(self, directory: Path) -> Observation:
        """Say how it stands, from its folder alone; see to it that somebody copies its files."""
        is_handed_in = directory in self._submissions
        seen = await asyncio.to_thread(observe, directory)
        if seen.state == "absent" and is_handed_in:
            return Observation(state="waiting", waits_for=_ANSWER)
        if seen.state in {"waiting", "running"}:
            self._follow(directory)
        return seen

    async def cancel(self, directory: Path) -> None:
        """Ask for its end. One that was never started ends as soon as it is."""
        await asyncio.to_thread(_note_cancel, directory)
        if directory not in self._submissions:
            # A server that was killed may have handed it in, and not have heard so.
            await self.sweep(directory)

    async def sweep(self, directory: Path) -> None:
        """Stop a job that is lost or was never taken; one that runs is not touched."""
        record = await asyncio.to_thread(read_job, directory)
        if record is None or (record.submitted and record.lost is None):
            return
        try:
            await self._jobs.stop(record.submission_id)
        except Unavailable:
            task = asyncio.create_task(self._stop_later(record.submission_id))
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    async def _submit(self, workload: Workload, waits: asyncio.Event) -> None:
        """Hand a workload in as soon as the cluster takes it, and follow it.

        Raises:
            Unavailable: The cluster answers, and does not want it.
            InvalidInput: What it brings along is too much.
        """
        refused: float | None = None
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._submit_once(workload)
            except Away:
                refused = None
                waits.set()
            except LandloomError as problem:
                refused = refused or time.monotonic()
                is_over = time.monotonic() >= refused + _PATIENCE_SECONDS
                if is_over or not isinstance(problem, Unavailable):
                    if not waits.is_set():
                        raise
                    await asyncio.to_thread(_refuse, workload.directory, problem)
                    return
            except Exception:
                if not waits.is_set():
                    raise
                _log.exception("a job cannot be handed in", job=workload.id)
            else:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _submit_once(self, workload: Workload) -> None:
        """Submit it unless that has been done, or is not to be any more."""
        directory = workload.directory
        async with locked(directory):
            if await asyncio.to_thread(_is_done_with, directory):
                # One that was cancelled may have been taken though its answer was lost.
                await self.sweep(directory)
                return
            record = await asyncio.to_thread(_begin, directory, workload.id)
            await self._hand_in(workload, record)
            await asyncio.to_thread(write_job, directory, record.as_submitted())
        self._follow(directory)

    async def _hand_in(self, workload: Workload, record: JobRecord) -> None:
        """Submit it unless Ray has it: the answer to an earlier try may have been lost."""
        if await self._jobs.state(record.submission_id) is not None:
            return
        with tempfile.TemporaryDirectory(prefix="landloom-ray-") as place:
            await asyncio.to_thread(
                pack,
                workload,
                Path(place),
                home=self._home,
                python=self._job_python,
                grace_seconds=self._grace_seconds,
            )
            await self._jobs.submit(
                record.submission_id,
                _ENTRYPOINT.format(python=self._python, archive=ARCHIVE),
                place,
                workload,
                stop_seconds=int(self._grace_seconds) + _STOP_MARGIN_SECONDS,
            )

    async def _stop_later(self, submission_id: str) -> None:
        """Stop what a cluster runs that cannot be reached: it may only be cut off from here."""
        try:
            await patiently(partial(self._jobs.stop, submission_id), seconds=_STOP_LATER_SECONDS)
        except Unavailable:
            # A cluster that is gone for good took its processes along.
            _log.warning("a job was left to its cluster", job=submission_id)

    def _follow(self, directory: Path) -> None:
        task = self._followers.get(directory)
        if task is not None and not task.done():
            return
        follower = Follower(directory, self._jobs, away_seconds=self._away_seconds)
        task = asyncio.create_task(follower.run(), name=f"follow {directory.name}")
        self._followers[directory] = task
        task.add_done_callback(lambda _task: self._followers.pop(directory, None))


def _is_done_with(directory: Path) -> bool:
    """Tell whether there is nothing left to start; end at once what was cancelled before."""
    if folder.read_exit(directory) is not None:
        return True
    record = read_job(directory)
    if record is not None and (record.submitted or record.lost is not None):
        return True
    if (directory / folder.CANCEL).exists():
        folder.write_exit(directory, folder.ended_from_outside(folder.TERMINATED, "cancelled"))
        return True
    return False


def _refuse(directory: Path, problem: LandloomError) -> None:
    """End a workload that the cluster does not want; its log says why."""
    log = LogWriter(directory)
    log.note(f"[landloom] The job could not be started: {problem}")
    log.close()
    folder.write_exit(directory, folder.ended_from_outside(NOT_STARTABLE, "exited"))


def _begin(directory: Path, workload_id: str) -> JobRecord:
    """Note the job before it is submitted, so that it is submitted once."""
    record = read_job(directory)
    if record is None:
        log = directory / folder.LOG
        record = JobRecord(f"landloom-{workload_id}", log.stat().st_size if log.exists() else 0)
        write_job(directory, record)
    return record


def _note_cancel(directory: Path) -> None:
    if folder.read_exit(directory) is None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / folder.CANCEL).touch(mode=0o600)
