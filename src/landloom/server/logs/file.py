"""Logs as the runner's own files: any page by one step into the sparse index and a short scan."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from landloom.errors import Conflict, Unavailable
from landloom.runner.folder import INDEX, LOG
from landloom.runner.log import ENTRY, STRIDE, LogWriter
from landloom.server.logs.base import LogLine

_BLOCK_BYTES: Final = 128 * 1024


class FileLogStore:
    """Reads, and adds to, the `log` and `log.index` of a workload's folder.

    A line is visible once its newline is in the file, so a reader never meets half a line.
    """

    async def read(self, directory: Path, *, cursor: int, size: int) -> list[LogLine]:
        """Return up to `size` complete lines after the first `cursor`; [] where there are none."""
        return await asyncio.to_thread(_read, directory, cursor, size)

    async def append(self, directory: Path, lines: list[str]) -> None:
        """Add lines of the platform's own, before or after the script's.

        Raises:
            Conflict: The workload is running, and its runner is writing the log.
            Unavailable: The disk is full.
        """
        await asyncio.to_thread(_append, directory, lines)


def _read(directory: Path, cursor: int, size: int) -> list[LogLine]:
    if size <= 0:
        return []
    try:
        log = os.open(directory / LOG, os.O_RDONLY)
    except FileNotFoundError:
        return []
    try:
        first, offset = _nearest(directory / INDEX, os.fstat(log).st_size, cursor)
        skip = max(cursor, 0) - first
        page: list[LogLine] = []
        for lines in _blocks(log, offset):
            taken = lines[skip : skip + size - len(page)]
            skip = max(0, skip - len(lines))
            page.extend(map(_parse, taken))
            if len(page) == size:
                break
        return page
    finally:
        os.close(log)


def _nearest(index: Path, log_size: int, cursor: int) -> tuple[int, int]:
    """Return (line, byte offset) of the last entry at or before `cursor`."""
    try:
        descriptor = os.open(index, os.O_RDONLY)
    except FileNotFoundError:
        return 0, 0
    try:
        entries = os.fstat(descriptor).st_size // ENTRY.size
        entry = min(cursor // STRIDE, entries - 1)
        while entry > 0:
            (offset,) = ENTRY.unpack(os.pread(descriptor, ENTRY.size, entry * ENTRY.size))
            # Beyond the end only after a power cut that kept the index and lost the log.
            if offset <= log_size:
                return entry * STRIDE, offset
            entry -= 1
    finally:
        os.close(descriptor)
    return 0, 0


def _blocks(log: int, offset: int) -> Iterator[list[bytes]]:
    """Yield complete lines from `offset` on, some at a time."""
    rest = b""
    while block := os.pread(log, _BLOCK_BYTES, offset):
        offset += len(block)
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        yield lines


def _parse(line: bytes) -> LogLine:
    stamp, _, raw = line.partition(b" ")
    return LogLine(timestamp=int(stamp), raw=raw.decode("utf-8", "replace"))


def _append(directory: Path, lines: list[str]) -> None:
    if not lines:
        return
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        writer = LogWriter(directory, wait=False)
    except BlockingIOError as problem:
        raise Conflict(
            f"The log of workload {directory.name} is being written by its runner.",
            suggestion="Add lines before it starts or after it ends.",
        ) from problem
    try:
        for line in lines:
            writer.note(line)
    finally:
        writer.close()
    if writer.lost:
        raise Unavailable(
            f"The log of workload {directory.name} could not be written: {writer.error}",
            suggestion="Make room on the disk that holds the data folder.",
        )
