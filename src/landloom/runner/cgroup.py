"""A control group that keeps a workload's processes to its memory, where one can be written.

The kernel then ends what asks for more at the very page, between two samples. Version 2 needs a
group that is handed to us with its memory controller; version 1, mounted beside it on older
systems, takes a child anywhere we may write. Files and their meaning: the kernel's
Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_ROOT: Final = Path("/sys/fs/cgroup")
_REMOVE_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class _Files:
    """What one version calls things."""

    limit: str
    swap: str
    swap_limit: int | None
    """Bytes of swap; None: as many as the limit, which in this version counts both."""
    events: str


_V2: Final = _Files("memory.max", "memory.swap.max", 0, "memory.events")
_V1: Final = _Files(
    "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", None, "memory.oom_control"
)


class MemoryGroup:
    """The group of one workload."""

    def __init__(self, folder: Path, events: str) -> None:
        self.folder = folder
        self._events = folder / events

    @classmethod
    def make(cls, name: str, limit: int, parent: Path | None = None) -> Self | None:
        """Make a group that holds `limit` bytes at most; None where that cannot be done.

        Args:
            name: Unique in the machine.
            limit: Bytes.
            parent: The group to make it in; None is this process's own.
        """
        parent = parent or _own_group()
        if parent is None:
            return None
        folder = parent / f"landloom-{name}"
        try:
            folder.mkdir(exist_ok=True)
        except OSError:
            return None
        for files in (_V2, _V1):
            # Never create: in a folder that is no control group that would be an ordinary file.
            if (folder / files.limit).exists():
                try:
                    (folder / files.limit).write_text(str(limit))
                except OSError:
                    break
                with suppress(OSError):
                    swap = limit if files.swap_limit is None else files.swap_limit
                    if (folder / files.swap).exists():
                        (folder / files.swap).write_text(str(swap))
                return cls(folder, files.events)
        with suppress(OSError):
            folder.rmdir()
        return None

    def join(self) -> None:
        """Bring the calling process, and all that it starts, into the group."""
        with suppress(OSError):
            (self.folder / "cgroup.procs").write_text("0")

    @property
    def kills(self) -> int:
        """How many of its processes the kernel has ended for want of memory."""
        with suppress(OSError):
            for line in self._events.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return 0

    def remove(self) -> None:
        """Remove it; its last processes may need a moment to be gone."""
        ends = time.monotonic() + _REMOVE_SECONDS
        while not remove_group(self.folder) and time.monotonic() < ends:
            time.sleep(_LOOK_SECONDS)


def remove_group(folder: Path) -> bool:
    """Remove a group that is empty; tell whether it is gone."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def pids_in(folder: Path) -> list[int]:
    """Return who is in a group; nobody where there is none."""
    try:
        return [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def _own_group() -> Path | None:
    """Return the folder of the group that this process is in."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    # "<number>:<controllers>:<path>"; version 2 has the number 0 and no controllers.
    entries = [line.split(":", 2) for line in lines]
    for _, controllers, path in entries:
        if "memory" in controllers.split(","):
            return _ROOT / "memory" / path.lstrip("/")
    for number, _, path in entries:
        if number == "0" and os.access(_ROOT / "cgroup.controllers", os.R_OK):
            return _ROOT / path.lstrip("/")
    return None
