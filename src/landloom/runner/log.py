r"""The log of a workload, as it is written: lines with their time, and a sparse index beside them.

`log` holds `<epoch ms> <raw>\n` for each line. `log.index` holds little-endian uint64 values: the
k-th is the byte offset in `log` of line k x 1000. The index may lag behind the log (its reader
scans on from the last entry) but never runs ahead of it.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path
from typing import Final

from landloom.runner.folder import INDEX, LOG

STRIDE: Final = 1000
"""Lines between two entries of the index."""
LINE_LIMIT: Final = 64 * 1024
"""Bytes of one line; a longer one becomes several."""
ENTRY: Final = struct.Struct("<Q")
_TAIL_BLOCK: Final = 256 * 1024


class LogWriter:
    """Appends the bytes of a stream as lines. Only whole lines ever reach the file.

    A full disk loses lines instead of ending the workload: they are counted in `lost`, and a line
    saying so is written as soon as there is room again.

    Attributes:
        lines: Lines in the file.
        lost: Lines that could not be written.
        error: Why, or None.
    """

    def __init__(self, directory: Path, *, wait: bool = True) -> None:
        """Open the log of `directory`, continuing where it ends.

        Raises:
            BlockingIOError: Somebody else is writing it and `wait` is False.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        self._log = os.open(directory / LOG, flags, 0o600)
        try:
            fcntl.flock(self._log, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            self._index = os.open(directory / INDEX, flags, 0o600)
        except BaseException:
            os.close(self._log)
            raise
        self.lost = 0
        self.error: str | None = None
        self._untold = 0
        self._rest = b""
        self._entries: list[int] = []
        self._end, self.lines, self._last_ms = _recover(self._log, self._index)

    def write(self, data: bytes) -> None:
        """Append a piece of the stream; what follows its last newline waits for more."""
        cut = data.rfind(b"\n") + 1
        if not cut:
            self._rest += data
        else:
            whole = self._rest + data[:cut]
            self._rest = data[cut:]
            self._write_lines(_clean(whole).split(b"\n")[:-1])
        if len(self._rest) > LINE_LIMIT:
            pieces = _split(self._rest)
            self._rest = pieces.pop()
            self._write_lines([part for piece in pieces for part in _split(_clean(piece))])

    def copy(self, stamped: bytes) -> None:
        """Append whole lines as another writer wrote them, byte for byte but for early times.

        Raises:
            OSError: The disk is full; lines up to the end of a block of the index may stand.
        """
        lines = self._not_earlier(stamped.split(b"\n")[:-1])
        while lines:
            count = STRIDE - self.lines % STRIDE
            if not self._append_block(b"\n".join(lines[:count]) + b"\n", len(lines[:count])):
                raise OSError(self.error)
            lines = lines[count:]

    def note(self, text: str) -> None:
        """Append lines of the platform's own."""
        self.flush()
        self.write(text.encode("utf-8", "replace").rstrip(b"\n") + b"\n")

    def flush(self) -> None:
        """Write the unfinished last line, as nothing more will come."""
        rest, self._rest = self._rest.removesuffix(b"\r"), b""
        if rest:
            self._write_lines(_split(_clean(rest)))

    def close(self) -> None:
        """Write what is left, make it durable, and let go of the log."""
        self.flush()
        self._tell_loss()
        self._write_entries()
        try:
            os.fsync(self._log)
            os.fsync(self._index)
        except OSError as problem:
            self.error = self.error or str(problem)
        os.close(self._index)
        os.close(self._log)

    def _write_lines(self, lines: list[bytes]) -> None:
        if max(map(len, lines), default=0) > LINE_LIMIT:
            lines = [piece for line in lines for piece in _split(line)]
        self._tell_loss()
        self._last_ms = max(self._last_ms, time.time_ns() // 1_000_000)
        position = 0
        while position < len(lines):
            block = lines[position : position + STRIDE - self.lines % STRIDE]
            if not self._append(block):
                missing = len(lines) - position
                self.lost += missing
                self._untold += missing
                return
            position += len(block)

    def _append(self, lines: list[bytes]) -> bool:
        """Write lines that end before, or at, the next entry of the index; False on a full disk."""
        stamp = b"%d " % self._last_ms
        return self._append_block(stamp + (b"\n" + stamp).join(lines) + b"\n", len(lines))

    def _append_block(self, block: bytes, count: int) -> bool:
        """Write stamped lines; see `_append`."""
        if not _write_whole(self._log, block, self._end, self):
            return False
        if self.lines % STRIDE == 0:
            self._entries.append(self._end)
            self._write_entries()
        self._end += len(block)
        self.lines += count
        return True

    def _not_earlier(self, lines: list[bytes]) -> list[bytes]:
        """Give lines of a clock that is behind ours the last time seen: times never decrease."""
        if lines and _time_of(lines[0]) < self._last_ms:
            stamp = b"%d" % self._last_ms
            lines = [
                stamp + line[len(stamp) :] if _time_of(line) < self._last_ms else line
                for line in lines
            ]
        self._last_ms = max(self._last_ms, _time_of(lines[-1])) if lines else self._last_ms
        return lines

    def _write_entries(self) -> None:
        """Write the entries due; those that find no room wait for the next time."""
        if not self._entries:
            return
        packed = b"".join(map(ENTRY.pack, self._entries))
        if _write_whole(self._index, packed, os.fstat(self._index).st_size, self):
            self._entries.clear()

    def _tell_loss(self) -> None:
        if self._untold:
            text = f"[landloom] {self._untold} lines could not be written here: {self.error}"
            self._last_ms = max(self._last_ms, time.time_ns() // 1_000_000)
            if self._append([text.encode()]):
                self._untold = 0


def _write_whole(descriptor: int, data: bytes, end: int, writer: LogWriter) -> bool:
    """Append all of `data` to a file of `end` bytes, or nothing of it."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as problem:
        writer.error = problem.strerror or str(problem)
        # A torn block would shift every offset after it.
        os.ftruncate(descriptor, end)
        return False
    return True


def _clean(data: bytes) -> bytes:
    """Make bytes valid UTF-8 with plain newlines. A newline is never part of a broken character."""
    if b"\r\n" in data:
        data = data.replace(b"\r\n", b"\n")
    if data.isascii():
        return data
    return data.decode("utf-8", "replace").encode()


def _split(line: bytes) -> list[bytes]:
    """Cut a line into pieces of at most LINE_LIMIT bytes, never inside a character."""
    pieces = []
    start = 0
    while len(line) - start > LINE_LIMIT:
        end = start + LINE_LIMIT
        # A UTF-8 character has at most three continuation bytes (10xxxxxx).
        for back in range(4):
            if line[end - back] & 0xC0 != 0x80:  # noqa: PLR2004 - the two bits named above
                end -= back
                break
        pieces.append(line[start:end])
        start = end
    pieces.append(line[start:])
    return pieces


def _recover(log: int, index: int) -> tuple[int, int, int]:
    """Find (end in bytes, lines, last time in ms) of a log, mending what a kill left torn."""
    size = os.fstat(log).st_size
    entries = os.fstat(index).st_size // ENTRY.size
    os.ftruncate(index, entries * ENTRY.size)
    start = 0
    while entries:
        (start,) = ENTRY.unpack(os.pread(index, ENTRY.size, (entries - 1) * ENTRY.size))
        if start < size:
            break
        entries -= 1
        start = 0
    os.ftruncate(index, entries * ENTRY.size)
    lines = (entries - 1) * STRIDE if entries else 0
    return _count_on(log, index, start, lines, size)


def _count_on(log: int, index: int, start: int, lines: int, size: int) -> tuple[int, int, int]:
    """Count lines from offset `start`, which is line `lines`, adding entries that are missing."""
    entries = os.fstat(index).st_size // ENTRY.size
    end, last_ms, rest = start, 0, b""
    position = start
    while position < size:
        block = os.pread(log, _TAIL_BLOCK, position)
        if not block:
            break
        position += len(block)
        whole = (rest + block).split(b"\n")
        rest = whole.pop()
        for line in whole:
            if lines % STRIDE == 0 and lines // STRIDE >= entries:
                os.write(index, ENTRY.pack(end))
                entries += 1
            end += len(line) + 1
            lines += 1
        if whole:
            last_ms = max(last_ms, _time_of(whole[-1]))
    os.ftruncate(log, end)
    return end, lines, last_ms


def _time_of(line: bytes) -> int:
    stamp, _, _ = line.partition(b" ")
    return int(stamp) if stamp.isdigit() else 0
