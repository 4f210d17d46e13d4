"""Run one workload to its end: start it, keep its output, watch its time, leave nothing behind."""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from pathlib import Path
from types import FrameType
from typing import Final

from landloom.runner import folder, processes
from landloom.runner.cgroup import MemoryGroup
from landloom.runner.confinement import NOT_STARTABLE, confine
from landloom.runner.folder import ExitRecord, Reason, RunnerRecord, Spec
from landloom.runner.gpus import Gpus
from landloom.runner.log import LogWriter
from landloom.runner.usage import Meter

_READ_BYTES: Final = 1 << 20
_PIPE_BYTES: Final = 1 << 20
_COALESCE_SECONDS: Final = 0.01
"""Pause between two small reads, so that a chatty child is read in batches, not line by line."""
_SMALL_READ: Final = 1 << 16
_LOOK_SECONDS: Final = 0.2
"""How often the cancel file is looked for; also how long output may wait at most."""
_ENDING_LOOK_SECONDS: Final = 0.02
_LINGER_SECONDS: Final = 1.0
"""How long what the script started may outlive it before it is asked to end."""
_KILL_SECONDS: Final = 10.0
"""How long killed processes may take to go; one stuck in the kernel must not hold us for ever."""
_EXIT_TRIES_SECONDS: Final = 60.0
_RESERVE_BYTES: Final = 32 * 1024
_NOT_FOUND: Final = 127


class Stage(Enum):
    """How far the end has come."""

    RUNNING = auto()
    LINGERING = auto()
    """The child has ended; what it started may end by itself."""
    ASKED = auto()
    KILLED = auto()


class Supervisor:
    """Holds one workload's process, log and clock."""

    def __init__(self, directory: Path, spec: Spec) -> None:
        self._directory = directory
        self._spec = spec
        self._clock = _Clock()
        self._reserve = _Reserve(directory)
        self._log = LogWriter(directory)
        self._meter = Meter(directory, spec.memory_limit, Gpus.of(spec.env))
        self._group = _memory_group(directory, spec)
        self._selector = selectors.DefaultSelector()
        self._stage = Stage.RUNNING
        self._stage_ends = 0.0
        self._reason: Reason = "exited"
        self._asked_by_signal = False

    def run(self) -> ExitRecord:
        """Run the workload and return how it ended, its log complete and durable."""
        self._listen_to_signals()
        processes.adopt_orphans()
        started_at = self._clock.now()
        self._record(None, started_at)
        if self._is_cancelled():
            self._reason = "cancelled"
            code = 128 + signal.SIGTERM
        else:
            code = self._run_child(started_at)
        self._log.flush()
        self._reserve.give_back()
        self._log.close()
        if self._group is not None:
            self._group.remove()
        return ExitRecord(
            exit_code=code,
            reason=self._reason,
            ended_at=self._clock.now(),
            lines=self._log.lines,
            lost_lines=self._log.lost,
            log_error=self._log.error,
            peak_memory=self._meter.peak_memory or None,
        )

    def _run_child(self, started_at: str) -> int:
        output, entrance = os.pipe()
        with suppress(OSError):
            fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._pause = _COALESCE_SECONDS if _pipe_size(output) >= _PIPE_BYTES else 0.0
        os.set_blocking(output, False)
        deadline = time.monotonic() + self._spec.timeout_seconds
        try:
            child = self._spawn(entrance)
        except OSError as problem:
            self._log.note(f"[landloom] cannot start {self._spec.argv[0]}: {problem.strerror}")
            return _NOT_FOUND if isinstance(problem, FileNotFoundError) else NOT_STARTABLE
        finally:
            os.close(entrance)
        self._record(child.pid, started_at)
        self._selector.register(output, selectors.EVENT_READ)
        try:
            self._watch(child, output, deadline)
        finally:
            processes.signal_all(processes.descendants(), signal.SIGKILL)
            while self._drain(output):
                pass
            os.close(output)
        return child.returncode if child.returncode >= 0 else 128 - child.returncode

    def _spawn(self, entrance: int) -> subprocess.Popen[bytes]:
        work = self._directory / folder.WORK
        work.mkdir(mode=0o700, exist_ok=True)
        parent = os.getpid()
        if self._spec.seat is not None:
            # Else /dev/stdout could not be opened by the name.
            os.fchown(entrance, self._spec.seat.uid, self._spec.seat.uid)

        def prepare() -> None:
            processes.offer_to_oom_killer()
            if self._group is not None:
                self._group.join()
            confine(self._spec, work)
            # The kernel forgets it when the process becomes another user.
            processes.end_with_parent(parent)

        return subprocess.Popen(  # noqa: S603 - running what the spec says is this program's purpose
            self._spec.argv,
            env=self._spec.env,
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=entrance,
            stderr=entrance,
            start_new_session=True,
            preexec_fn=prepare,  # noqa: PLW1509 - this process has one thread only
        )

    def _watch(self, child: subprocess.Popen[bytes], output: int, deadline: float) -> None:
        """Return once the child and everything it started are gone, or cannot be ended."""
        while True:
            wait = min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic()))
            if self._stage is not Stage.RUNNING:
                wait = _ENDING_LOOK_SECONDS
            for key, _ in self._selector.select(wait):
                if key.fd == output:
                    self._read(output)
                else:
                    os.read(key.fd, 4096)
            processes.reap(child)
            now = time.monotonic()
            if self._meter.is_due and self._stage is Stage.RUNNING:
                self._meter.look(processes.descendants())
            if child.returncode is None and self._reason == "exited":
                self._look_for_end(now, deadline)
            elif child.returncode is not None and self._stage is Stage.RUNNING:
                if self._is_out_of_memory():
                    self._end_for_memory(now)
                else:
                    self._enter(Stage.LINGERING, now + _LINGER_SECONDS)
            if self._stage is not Stage.RUNNING and self._has_ended(child, now):
                return

    def _look_for_end(self, now: float, deadline: float) -> None:
        if self._is_out_of_memory():
            self._end_for_memory(now)
            return
        if self._is_cancelled():
            self._reason = "cancelled"
        elif now >= deadline:
            self._reason = "timeout"
        else:
            return
        self._ask_to_end(now)

    def _is_out_of_memory(self) -> bool:
        """Tell whether more was seen than there is, or the kernel ended a process for asking."""
        if self._group is not None and self._group.kills:
            self._meter.note_refusal()
            return True
        return self._meter.is_exceeded

    def _end_for_memory(self, now: float) -> None:
        """End it at once: what grows faster than it can be asked would take the machine along."""
        self._reason = "memory"
        peak, limit = self._meter.peak_memory / 2**20, (self._spec.memory_limit or 0) / 2**20
        self._log.note(
            f"[landloom] out of memory: the run used {peak:.0f} MiB of its {limit:.0f} MiB"
        )
        self._enter(Stage.KILLED, now + _KILL_SECONDS)

    def _has_ended(self, child: subprocess.Popen[bytes], now: float) -> bool:
        left = processes.descendants()
        if child.returncode is not None and not left:
            return True
        if self._stage is Stage.KILLED:
            processes.signal_all(left, signal.SIGKILL)
            if now >= self._stage_ends:
                self._give_up(child, [process.pid for process in left])
                return True
        elif now >= self._stage_ends:
            if self._stage is Stage.LINGERING:
                self._ask_to_end(now)
            else:
                self._enter(Stage.KILLED, now + _KILL_SECONDS)
        return False

    def _ask_to_end(self, now: float) -> None:
        if not (self._asked_by_signal and self._spec.signalled_along):
            processes.signal_all(processes.descendants(), signal.SIGTERM)
        self._enter(Stage.ASKED, now + self._spec.grace_seconds)

    def _give_up(self, child: subprocess.Popen[bytes], pids: list[int]) -> None:
        if child.returncode is None:
            child.returncode = -signal.SIGKILL
        self._log.note(f"[landloom] these processes could not be killed: {pids}")

    def _enter(self, stage: Stage, ends: float) -> None:
        self._stage = stage
        self._stage_ends = ends

    def _read(self, output: int) -> None:
        """Take one piece of output; then leave a slow writer time to write more than a line."""
        size = self._drain(output)
        if size == 0:
            self._selector.unregister(output)
        elif size < _SMALL_READ and self._pause:
            time.sleep(self._pause)

    def _drain(self, output: int) -> int:
        """Read once into the log; 0 where there is nothing more."""
        try:
            data = os.read(output, _READ_BYTES)
        except BlockingIOError:
            return 0
        if data:
            self._log.write(data)
        return len(data)

    def _is_cancelled(self) -> bool:
        return self._asked_by_signal or (self._directory / folder.CANCEL).exists()

    def _listen_to_signals(self) -> None:
        """Have signals wake the selector; TERM and INT ask for the end, HUP means nothing here."""
        wake, waker = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        self._selector.register(wake, selectors.EVENT_READ)
        signal.signal(signal.SIGTERM, self._on_end_signal)
        signal.signal(signal.SIGINT, self._on_end_signal)
        # A handler, not SIG_IGN: that the child would inherit.
        for number in (signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda _number, _frame: None)

    def _on_end_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._asked_by_signal = True

    def _record(self, child_pid: int | None, started_at: str) -> None:
        me = processes.identify(os.getpid())
        child = processes.identify(child_pid) if child_pid is not None else None
        if me is None:
            raise RuntimeError(f"process {os.getpid()} cannot see itself")
        record = RunnerRecord(
            pid=me.pid,
            create_time=me.create_time,
            start_ticks=me.start_ticks,
            child_pid=child_pid,
            child_create_time=child.create_time if child else None,
            child_start_ticks=child.start_ticks if child else None,
            started_at=started_at,
            cgroup=str(self._group.folder) if self._group is not None else None,
        )
        folder.write_record(self._directory, record)


def supervise(directory: Path) -> bool:
    """Run the workload of `directory` unless it runs, or ran, already; tell whether it did."""
    lock = os.open(directory / folder.LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    try:
        # A record without a lock is one of a runner that was killed: never run a script twice.
        if folder.read_runner(directory) is not None or folder.read_exit(directory) is not None:
            return False
        _keep_trying(directory, Supervisor(directory, folder.read_spec(directory)).run())
        return True
    finally:
        os.close(lock)


def _memory_group(directory: Path, spec: Spec) -> MemoryGroup | None:
    if spec.memory_limit is None:
        return None
    parent = Path(spec.cgroup) if spec.cgroup else None
    return MemoryGroup.make(directory.name, spec.memory_limit, parent)


def _keep_trying(directory: Path, record: ExitRecord) -> None:
    """Write the exit record; a full disk may have room again in a moment."""
    ends = time.monotonic() + _EXIT_TRIES_SECONDS
    while True:
        try:
            folder.write_exit(directory, record)
        except OSError:
            if time.monotonic() >= ends:
                raise
            time.sleep(_LOOK_SECONDS)
        else:
            return


def _pipe_size(descriptor: int) -> int:
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
    except OSError:
        return 0


class _Clock:
    """Tells times that never step back, whatever is done to the machine's clock meanwhile."""

    def __init__(self) -> None:
        self._wall = datetime.now(UTC)
        self._began = time.monotonic()

    def now(self) -> str:
        """Return the time, ISO 8601, UTC."""
        passed = timedelta(seconds=time.monotonic() - self._began)
        return (self._wall + passed).isoformat(timespec="milliseconds")


class _Reserve:
    """A little room on the disk for how it ended, whoever else fills it up meanwhile."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / folder.RESERVE
        # Where there is no room even now, there is none to be had.
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(descriptor, 0, _RESERVE_BYTES)
            finally:
                os.close(descriptor)

    def give_back(self) -> None:
        """Make the room free."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
