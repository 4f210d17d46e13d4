"""Processes that outlive us: known by pid and start, so that a reused pid is never touched."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil

from landloom.errors import SetupProblem
from landloom.runner.processes import Identity, identify, is_alive
from landloom.stack.files import write_private

_KILLED_SECONDS = 10.0
"""What the kernel gets to take a killed process away, its memory and open writes included."""


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process, named so that it cannot be taken for another."""

    pid: int
    create_time: float
    """Unix time of its start, seconds, as psutil gives it: it moves when the clock is set."""
    start_ticks: int | None = None
    """Start in clock ticks since boot, which no setting of the clock moves; Linux only."""

    @classmethod
    def of(cls, pid: int) -> Self:
        """Describe the process that has this pid now.

        Raises:
            psutil.NoSuchProcess: There is none.
        """
        found = identify(pid)
        if found is None:
            raise psutil.NoSuchProcess(pid)
        return cls(found.pid, found.create_time, found.start_ticks)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read what `write` wrote; None where nothing readable is there."""
        try:
            found = json.loads(path.read_text())
            ticks = found.get("start_ticks")
            return cls(
                int(found["pid"]),
                float(found["create_time"]),
                int(ticks) if ticks is not None else None,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, path: Path) -> None:
        """Keep it in `path`, in one step."""
        write_private(path, json.dumps(asdict(self)) + "\n")

    def process(self) -> psutil.Process | None:
        """Return the process while it lives; None once it is gone, a zombie or another."""
        try:
            # Before it is asked about: a later owner of the pid would then be seen by psutil.
            found = psutil.Process(self.pid)
        except psutil.NoSuchProcess:
            return None
        return found if is_alive(Identity(self.pid, self.create_time, self.start_ticks)) else None

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process() is not None

    def end(self, *, grace_seconds: float) -> bool:
        """Ask it to end, wait, and kill it if it has not ended.

        Returns:
            Whether there was anything to end.

        Raises:
            SetupProblem: It survived being killed.
        """
        found = self.process()
        if found is None:
            return False
        try:
            found.terminate()
            found.wait(grace_seconds)
        except psutil.TimeoutExpired:
            self._kill(found)
        except psutil.NoSuchProcess:
            pass
        return True

    def _kill(self, found: psutil.Process) -> None:
        try:
            found.kill()
            found.wait(_KILLED_SECONDS)
        except psutil.NoSuchProcess:
            pass
        except psutil.TimeoutExpired as error:
            raise SetupProblem(
                f"Process {self.pid} does not end, although it was killed.",
                suggestion="It may hang in the kernel on a broken disk; see its state with ps.",
            ) from error
