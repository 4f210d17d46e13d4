"""The jobs of a Ray cluster, by Ray's own client."""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import os
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final

import aiohttp
import requests
from ray.job_submission import JobSubmissionClient

from landloom.errors import InvalidInput, Unavailable
from landloom.server.launchers.base import Workload
from landloom.server.launchers.ray_follow import JobState

_SUBMIT_SECONDS: Final = 90.0
"""The longest that Ray may be silent when it was handed something in; uploads may take longer."""
_ASK_SECONDS: Final = 20.0
"""The longest that Ray may take to answer anything else."""
_CONNECT_SECONDS: Final = 5.0
_THREADS: Final = 8
_CHECK: Final = (
    "Check RAY_API_SERVER_ADDRESS or RAY_ADDRESS, and that the cluster runs with ray[default]."
)
_MISSING: Final = re.compile(r"status code 404\b")


class Away(Unavailable):
    """The cluster does not answer: it says nothing of what it was asked."""


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

        # Not given up while its thread is at it: the job would be submitted all the same.
        await self._call(call, seconds=None)

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
            raise self._gone(problem) from problem

    async def _call[T](
        self, step: Callable[[Any], T], *, seconds: float | None = _ASK_SECONDS
    ) -> T | None:
        """Do a step with the client in a thread; None where Ray knows nothing of the job."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                return await loop.run_in_executor(self._threads, lambda: step(self._connected()))
        except (requests.RequestException, OSError) as problem:
            raise self._gone(problem) from problem
        except RuntimeError as problem:
            if _MISSING.search(str(problem)):
                return None
            raise Unavailable(self._said(problem), suggestion=_CHECK) from problem
        except ValueError as problem:
            raise InvalidInput(
                f"What the workload brings along cannot travel to the Ray cluster: {problem}"
            ) from problem

    def _connected(self) -> _Client:
        if self._client is None:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            self._client = _Client(self._address)
        return self._client

    def _gone(self, problem: BaseException) -> Away:
        return Away(self._said(problem), suggestion=_CHECK)

    def _said(self, problem: BaseException) -> str:
        said = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        return f"The Ray cluster at {self._address} did not take it: {said}"


class _Client(JobSubmissionClient):
    """Ray's client, which by itself waits for ever where a head took a connection and then hangs.

    Each thread that waits so is one less for all others.
    """

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        hands_in = method == "PUT" or endpoint.rstrip("/") == "/api/jobs"
        silent = _SUBMIT_SECONDS if hands_in else _ASK_SECONDS
        options.setdefault("timeout", (_CONNECT_SECONDS, silent))
        if options.get("data") is not None:
            # Sent whole it would have to be through within the seconds for a connection.
            options["data"] = io.BytesIO(options["data"])
        return super()._do_request(method, endpoint, **options)
