"""A workload's folder: the files by which the server, the runner and the readers of logs agree.

`spec.json` and `cancel` are written from outside, `runner.json`, `log`, `log.index` and `exit`
by the runner. A whole JSON file appears at once or not at all: temporary file, fsync, rename.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from landloom.runner.processes import Identity
from landloom.runner.seat import Seat

SPEC = "spec.json"
RUNNER = "runner.json"
LOCK = "runner.lock"
ERRORS = "runner.err"
CANCEL = "cancel"
EXIT = "exit"
RESERVE = "reserve"
"""Room on the disk that is kept for the end."""
LOG = "log"
INDEX = "log.index"
WORK = "work"
"""Where the workload's process stands, so that its relative paths miss the files above."""

MARKER = "LANDLOOM_WORKLOAD_ID"
"""Environment variable that every process of a workload inherits; strays are found by it."""

DOCUMENTS = "LANDLOOM_DOCUMENTS"
"""Environment variable that names the folder of a run's `.json` files."""

REFUSED = 3
"""Exit status of a runner that found its workload run, or being run, by another."""

TERMINATED = 128 + signal.SIGTERM
KILLED = 128 + signal.SIGKILL

REFUSAL = "another runner has, or had, this folder"
"""What such a runner leaves as its last word."""

DEFAULT_GRACE_SECONDS = 3.0

Reason = Literal["exited", "timeout", "cancelled", "memory"]


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run."""

    argv: tuple[str, ...]
    env: dict[str, str]
    timeout_seconds: float
    grace_seconds: float = DEFAULT_GRACE_SECONDS
    """Between asking a process tree to end (TERM) and ending it (KILL)."""
    memory_limit: int | None = None
    """Bytes that the process tree may use at most; None is no limit."""
    cores: tuple[int, ...] = ()
    """Numbers of the cores it may run on; empty is all."""
    documents: str | None = None
    """Folder whose files it is to see in /opt/wherobots."""
    cgroup: str | None = None
    """Control group to make its own in; None is that of the runner."""
    niceness: int = 0
    """How far it steps back behind other processes, 0 to 19."""
    seat: Seat | None = None
    """As whom it runs and what it sees; None is as the runner does."""
    signalled_along: bool = False
    """Whether who sends the runner TERM sends it to the whole tree, which needs no second one."""


@dataclass(frozen=True, slots=True)
class RunnerRecord:
    """Who runs it. A process id alone may be somebody else's by now; with its start it is not."""

    pid: int
    create_time: float
    """Unix seconds, as psutil tells it."""
    start_ticks: int | None
    """Start in clock ticks since boot, which no correction of the wall clock moves; Linux only."""
    child_pid: int | None
    child_create_time: float | None
    child_start_ticks: int | None
    started_at: str
    """ISO 8601, UTC."""
    cgroup: str | None = None
    """Folder of the workload's own control group; None where it has none."""

    @property
    def runner(self) -> Identity:
        """The runner's own process."""
        return Identity(self.pid, self.create_time, self.start_ticks)

    @property
    def child(self) -> Identity | None:
        """The process that it runs; None where it did not begin, or has not yet."""
        if self.child_pid is None or self.child_create_time is None:
            return None
        return Identity(self.child_pid, self.child_create_time, self.child_start_ticks)

    @property
    def began_at(self) -> datetime | None:
        """When the workload's own process began; None where it did not, or has not yet."""
        return None if self.child_pid is None else datetime.fromisoformat(self.started_at)


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """How it ended."""

    exit_code: int
    """128 + n for signal n; 127 and 126 where the program was not found or not startable."""
    reason: Reason
    ended_at: str
    """ISO 8601, UTC."""
    lines: int
    """Lines in the log."""
    lost_lines: int = 0
    """Lines that could not be written, the disk being full."""
    log_error: str | None = None
    """Why lines were lost; None where none was."""
    peak_memory: int | None = None
    """Bytes, of the whole process tree; None where it was not sampled."""


def ended_from_outside(exit_code: int, reason: Reason) -> ExitRecord:
    """Return the end of a workload whose runner could not, or needed not, tell it."""
    ended_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return ExitRecord(exit_code=exit_code, reason=reason, ended_at=ended_at, lines=0)


def write_spec(directory: Path, spec: Spec) -> None:
    """Write the spec; readable by its owner only, for its environment holds keys."""
    write_json(directory / SPEC, asdict(spec))


def read_spec(directory: Path) -> Spec:
    """Read the spec.

    Raises:
        OSError: It is not there.
        ValueError: It is not a spec.
    """
    try:
        fields = json.loads((directory / SPEC).read_bytes())
        return Spec(
            argv=tuple(fields["argv"]),
            env=dict(fields["env"]),
            timeout_seconds=float(fields["timeout_seconds"]),
            grace_seconds=float(fields.get("grace_seconds", DEFAULT_GRACE_SECONDS)),
            memory_limit=fields.get("memory_limit"),
            cores=tuple(fields.get("cores", ())),
            documents=fields.get("documents"),
            cgroup=fields.get("cgroup"),
            niceness=int(fields.get("niceness", 0)),
            seat=Seat.of(fields.get("seat")),
            signalled_along=bool(fields.get("signalled_along", False)),
        )
    except (KeyError, TypeError) as problem:
        raise ValueError(f"{directory / SPEC} is not a workload's spec: {problem!r}") from problem


def write_record(directory: Path, record: RunnerRecord) -> None:
    """Write who runs it."""
    write_json(directory / RUNNER, asdict(record))


def write_exit(directory: Path, record: ExitRecord) -> None:
    """Write how it ended; the last thing a runner does."""
    write_json(directory / EXIT, asdict(record))


def read_runner(directory: Path) -> RunnerRecord | None:
    """Read who runs it, or None where nobody has begun."""
    fields = _read_json(directory / RUNNER)
    return RunnerRecord(**fields) if fields is not None else None


def read_exit(directory: Path) -> ExitRecord | None:
    """Read how it ended, or None where that is not known."""
    fields = _read_json(directory / EXIT)
    return ExitRecord(**fields) if fields is not None else None


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` so that a reader, or a power cut, meets all of it or nothing."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(value).encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(directory: Path) -> None:
    """Make the names in a folder as durable as the files behind them."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    if not isinstance(value, dict):
        raise TypeError(f"{path} does not hold a JSON object")
    return value
