"""What a launcher is: the one that starts, watches and ends a workload somewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol, Self

from landloom.runner import folder
from landloom.runner.folder import ExitRecord


@dataclass(frozen=True, slots=True)
class Workload:
    """A process to run, with everything it needs decided."""

    id: str
    directory: Path
    """The workload's own folder; the runner keeps its files in it."""
    argv: tuple[str, ...]
    env: dict[str, str] = field(repr=False)
    """The whole environment, secrets included: it is never logged."""
    timeout_seconds: int
    cpus: float
    memory_bytes: int
    memory_limit: int | None = None
    """Bytes at which it is ended; None where its size is planned with, not held against it."""
    confined: bool = False
    """Whether it is kept to as many cores and GPUs as it has, not only planned with them."""
    gpus: int = 0
    owner: str = ""
    """Id of the principal whose it is; its operating-system user is found by it."""
    reads: tuple[Path, ...] = ()
    """What it needs to read outside of its folder."""
    documents: Path | None = None
    """Folder whose files it is to see in /opt/wherobots; None where there are none."""

    def spec(self, *, grace_seconds: float) -> folder.Spec:
        """Return what a runner is told of it, wherever that is; launchers add what is their own.

        Args:
            grace_seconds: Between asking the process tree to end and ending it.
        """
        documents = str(self.documents) if self.documents is not None else None
        named = {folder.DOCUMENTS: documents} if documents is not None else {}
        return folder.Spec(
            argv=self.argv,
            env={**self.env, folder.MARKER: self.id, **named},
            timeout_seconds=self.timeout_seconds,
            grace_seconds=grace_seconds,
            memory_limit=self.memory_limit,
            documents=documents,
        )


@dataclass(frozen=True, slots=True)
class Observation:
    """What can be seen of a workload from outside."""

    state: Literal["absent", "waiting", "running", "exited", "lost"]
    """`waiting`: it is to be started, and begins where and when it can; `lost`: it was taken, it is
    gone, and it left no word of how it ended."""
    started_at: datetime | None = None
    """When its process began; None where none did, or none has yet."""
    ended_at: datetime | None = None
    exit_code: int | None = None
    """128 + n for signal n; None unless `exited`."""
    reason: Literal["exited", "timeout", "cancelled", "memory"] | None = None
    peak_memory: int | None = None
    """Bytes, of the whole process tree; None where it was not sampled."""
    lost_lines: int = 0
    """Lines of the log that could not be written."""
    log_error: str | None = None
    """Why; None where none was lost."""
    waits_for: str = ""
    """What one that is `waiting` waits for, in words."""

    @classmethod
    def of_end(cls, ended: ExitRecord, started_at: datetime | None) -> Self:
        """Return what the runner's record of an end says."""
        return cls(
            state="exited",
            started_at=started_at,
            ended_at=datetime.fromisoformat(ended.ended_at),
            exit_code=ended.exit_code,
            reason=ended.reason,
            peak_memory=ended.peak_memory,
            lost_lines=ended.lost_lines,
            log_error=ended.log_error,
        )


class Launcher(Protocol):
    """Starts workloads. Every call is idempotent: a restarted server asks again."""

    async def start(self, workload: Workload) -> None:
        """Start it unless it has been started before; return once its runner is on its way."""

    async def observe(self, directory: Path) -> Observation:
        """Say how it stands, from its folder alone."""

    async def cancel(self, directory: Path) -> None:
        """Ask for its end; `observe` tells when it has come. Never blocks on the workload."""

    async def sweep(self, directory: Path) -> None:
        """Kill whatever a lost workload left behind."""
