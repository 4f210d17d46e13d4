"""Workloads as Ray Jobs: each a job of the cluster, its files copied out while it runs.

The job runs `landloom.runner.remote` on a node that has what the runtime asks for. Ray is asked for
little: to place the job, to stop it, to tell its state, to pass on its output. In the workload's
folder, `ray.json` says which job it is; the rest is what the runner would write there itself, so a
server that comes back finds all it needs, and logs outlive the cluster.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import re
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import requests
import structlog
from ray.job_submission import JobSubmissionClient

from landloom.errors import InvalidInput, Unavailable
from landloom.runner import folder
from landloom.server.kit.patience import patiently
from landloom.server.launchers.base import Observation, Workload
from landloom.server.launchers.ray_follow import Follower, JobState
from landloom.server.launchers.ray_package import ARCHIVE, pack
from landloom.server.launchers.ray_record import JobRecord, locked, observe, read_job, write_job

_SUBMIT_SECONDS: Final = 90.0
"""The longest that handing in may take; an archive of some hundred MB is uploaded in it."""
_ASK_SECONDS: Final = 20.0
"""The longest that Ray may take to answer anything else."""
_CONNECT_SECONDS: Final = 5.0
_THREADS: Final = 8
_STOP_MARGIN_SECONDS: Final = 20
"""Beyond the grace, before Ray kills what it was told to stop."""
_STOP_LATER_SECONDS: Final = 3600.0
"""How long a cluster that does not answer is told to stop a job that nobody follows any more."""
_MISSING: Final = re.compile(r"status code 404\b")
_ENTRYPOINT: Final = "exec {python} -P -m landloom.runner.remote {archive} $PPID"
"""For a shell of Ray's supervisor of the job, in whose place the program comes."""

_log = structlog.get_logger("landloom.ray")


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
        self._followers: dict[Path, asyncio.Task[None]] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    async def start(self, workload: Workload) -> None:
        """Submit it unless that has been done; return once Ray has taken it.

        Raises:
            Unavailable: The cluster does not answer, or does not want it.
        """
        directory = workload.directory
        async with locked(directory):
            if await asyncio.to_thread(_is_done_with, directory):
                return
            record = await asyncio.to_thread(_begin, directory, workload.id)
            await patiently(partial(self._hand_in, workload, record))
            await asyncio.to_thread(write_job, directory, record.as_submitted())
        self._follow(directory)

    async def observe(self, directory: Path) -> Observation:
        """Say how it stands, from its folder alone; see to it that somebody copies its files."""
        seen = await asyncio.to_thread(observe, directory)
        if seen.state in {"waiting", "running"}:
            self._follow(directory)
        return seen

    async def cancel(self, directory: Path) -> None:
        """Ask for its end. One that was never started ends as soon as it is."""
        await asyncio.to_thread(_note_cancel, directory)

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


class RayJobs:
    """The jobs of a cluster, by Ray's own client; its calls block, so they have own threads."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: _Client | None = None
        self._threads = concurrent.futures.ThreadPoolExecutor(_THREADS, "ray-jobs")

    async def submit(
        self,
        submission_id: str,
        entrypoint: str,
        working_dir: str,
        workload: Workload,
        *,
        stop_seconds: int,
    ) -> None:
        """Submit a job that asks for what the workload has.

        Raises:
            Unavailable: The cluster does not answer, or does not want it.
            InvalidInput: What it brings along is too much.
        """

        def call(client: Any) -> None:
            client.submit_job(
                submission_id=submission_id,
                entrypoint=entrypoint,
                runtime_env={
                    "working_dir": working_dir,
                    # Neither secret nor of the job: read by who supervises it for Ray.
                    "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(stop_seconds)},
                },
                metadata={"landloom_workload": workload.id},
                entrypoint_num_cpus=workload.cpus,
                entrypoint_num_gpus=workload.gpus,
                entrypoint_memory=workload.memory_bytes,
            )

        await self._call(call, seconds=_SUBMIT_SECONDS)

    async def stop(self, submission_id: str) -> None:
        """Ask a job's process tree to end; nothing where there is no such job.

        Raises:
            Unavailable: The cluster does not answer.
        """
        await self._call(lambda client: client.stop_job(submission_id))

    async def state(self, submission_id: str) -> JobState | None:
        """Return how a job stands; None where there is no such job.

        Raises:
            Unavailable: The cluster does not answer.
        """
        info = await self._call(lambda client: client.get_job_info(submission_id))
        if info is None:
            return None
        return JobState(
            pending=info.status == "PENDING",
            over=info.status.is_terminal(),
            stopped=info.status == "STOPPED",
            message=info.message or "",
        )

    async def tail(self, submission_id: str) -> AsyncGenerator[str]:
        """Yield a job's output from its beginning, then as it comes, until the job is over.

        Raises:
            Unavailable: The cluster does not answer, or stopped answering.
        """
        client: Any = await self._call(lambda client: client)
        try:
            async with aclosing(client.tail_job_logs(submission_id)) as output:
                async for text in output:
                    yield text
        except (aiohttp.ClientError, OSError, RuntimeError) as problem:
            raise self._away(problem) from problem

    async def _call[T](
        self, step: Callable[[Any], T], *, seconds: float = _ASK_SECONDS
    ) -> T | None:
        """Do a step with the client in a thread; None where Ray knows nothing of the job."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                return await loop.run_in_executor(self._threads, lambda: step(self._connected()))
        except (requests.RequestException, OSError) as problem:
            raise self._away(problem) from problem
        except RuntimeError as problem:
            if _MISSING.search(str(problem)):
                return None
            raise self._away(problem) from problem
        except ValueError as problem:
            raise InvalidInput(
                f"What the workload brings along cannot travel to the Ray cluster: {problem}"
            ) from problem

    def _connected(self) -> _Client:
        if self._client is None:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            self._client = _Client(self._address)
        return self._client

    def _away(self, problem: BaseException) -> Unavailable:
        said = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        return Unavailable(
            f"The Ray cluster at {self._address} did not take it: {said}",
            suggestion="Check RAY_API_SERVER_ADDRESS or RAY_ADDRESS, and that the cluster runs with"
            " ray[default].",
        )


class _Client(JobSubmissionClient):
    """Ray's client, which by itself waits for ever where a head took a connection and then hangs.

    Each thread that waits so is one less for all others.
    """

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        hands_in = method == "PUT" or endpoint.rstrip("/") == "/api/jobs"
        silent = _SUBMIT_SECONDS if hands_in else _ASK_SECONDS
        options.setdefault("timeout", (_CONNECT_SECONDS, silent))
        return super()._do_request(method, endpoint, **options)


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
