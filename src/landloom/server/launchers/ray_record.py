"""What a workload's folder says of its Ray job."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Self

from landloom.runner import folder
from landloom.server.launchers.base import Observation

JOB: Final = "ray.json"
_LOCK: Final = "ray.lock"
_LOOK_SECONDS: Final = 0.05
_ROOM: Final = "room on the Ray cluster"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """Which job a workload is."""

    submission_id: str
    before: int
    """Bytes that the log has more than was copied of the job's: the platform's own lines, less what
    did not arrive."""
    submitted: bool = False
    """Whether Ray is known to have taken it."""
    lost: str | None = None
    """Why nothing more will be heard of it; None while something may."""

    def as_submitted(self) -> Self:
        """Return the record of a job that Ray has taken."""
        return replace(self, submitted=True)

    def shifted(self, count: int) -> Self:
        """Return the record of a job whose log has so many bytes more of the platform's own."""
        return replace(self, before=self.before + count)

    def as_lost(self, why: str) -> Self:
        """Return the record of a job that is gone."""
        return replace(self, lost=why)


def read_job(directory: Path) -> JobRecord | None:
    """Read which job a workload is; None where none was ever submitted."""
    try:
        return JobRecord(**json.loads((directory / JOB).read_bytes()))
    except FileNotFoundError:
        return None


def write_job(directory: Path, record: JobRecord) -> None:
    """Write which job a workload is."""
    folder.write_json(directory / JOB, asdict(record))


def observe(directory: Path) -> Observation:
    """Say how a workload stands, from its folder alone."""
    job = read_job(directory)
    ended = folder.read_exit(directory)
    runner = folder.read_runner(directory)
    started_at = runner.began_at if runner is not None else None
    if ended is not None:
        return Observation.of_end(ended, started_at)
    if job is None or not (job.submitted or job.lost):
        return Observation(state="absent")
    if job.lost:
        return Observation(state="lost", started_at=started_at)
    if started_at is None:
        return Observation(state="waiting", waits_for=_ROOM)
    return Observation(state="running", started_at=started_at)


@asynccontextmanager
async def locked(directory: Path) -> AsyncIterator[None]:
    """Keep every other process and task from starting this workload meanwhile."""
    descriptor = _open(directory)
    try:
        # Not waited for in a thread: that has no end while a cluster does not answer the holder,
        # and who is cancelled meanwhile would leave it taken for ever.
        while not _takes(descriptor):  # noqa: ASYNC110 - other processes hold it, too
            await asyncio.sleep(_LOOK_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _open(directory: Path) -> int:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)


def _takes(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
