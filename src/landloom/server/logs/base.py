"""What a log store is: lines by ordinal, oldest first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a workload printed."""

    timestamp: int
    """Unix time in milliseconds, never decreasing within a workload."""
    raw: str
    """The line without its newline; never interpreted."""


class LogStore(Protocol):
    """Reads the lines of a workload. The runner writes them; see `landloom.runner.log`."""

    async def read(self, directory: Path, *, cursor: int, size: int) -> list[LogLine]:
        """Return up to `size` complete lines after the first `cursor`; [] where there are none."""

    async def append(self, directory: Path, lines: list[str]) -> None:
        """Add lines of the platform's own (installer output), before or after the script's."""
