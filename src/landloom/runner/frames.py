"""Files sent down a stream of text while they grow: how a workload's folder leaves its node.

A frame is a line `@landloom <name> <offset> <pieces left> <text>`. The text is a piece of what the
file holds from `offset` on: compressed, then in base64, so neither a newline, nor a carriage
return, nor the longest line of a log can break it. Lines that are no frames are left to the reader.

A file either grows (its frames follow one another) or appears whole, offset -1.
"""

from __future__ import annotations

import base64
import binascii
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MARK: Final = "@landloom "
WHOLE: Final = -1
_BLOCK_BYTES: Final = 256 * 1024
"""Of a file, in one frame at most; more than the longest line of a log."""
_PIECE_CHARACTERS: Final = 15_000
"""Ray passes on lines of up to 20,000 characters in one go."""
_LONGEST_CHARACTERS: Final = 1 << 16
_MOST_PIECES: Final = 64
_LEVEL: Final = 1


@dataclass(frozen=True, slots=True)
class Frame:
    """A part of a file."""

    name: str
    offset: int
    """In bytes; WHOLE where `data` is all of the file."""
    data: bytes


class Sender:
    """Sends what is new in some files of a folder."""

    def __init__(
        self,
        folder: Path,
        write: Callable[[bytes], None],
        *,
        growing: tuple[str, ...],
        whole: tuple[str, ...],
    ) -> None:
        self._folder = folder
        self._write = write
        self._sent = dict.fromkeys(growing, 0)
        self._seen: dict[str, tuple[int, int]] = dict.fromkeys(whole, (0, 0))

    def send(self) -> None:
        """Send what came since the last time; of growing files whole lines only."""
        for name in self._seen:
            self._send_changed(name)
        for name in self._sent:
            while self._send_more(name):
                pass

    def _send_changed(self, name: str) -> None:
        try:
            found = (self._folder / name).stat()
            if (found.st_ino, found.st_mtime_ns) == self._seen[name]:
                return
            data = (self._folder / name).read_bytes()
        except FileNotFoundError:
            return
        self._seen[name] = found.st_ino, found.st_mtime_ns
        self._write(encode(Frame(name, WHOLE, data)))

    def _send_more(self, name: str) -> bool:
        try:
            descriptor = os.open(self._folder / name, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            block = os.pread(descriptor, _BLOCK_BYTES, self._sent[name])
        finally:
            os.close(descriptor)
        data = block[: block.rfind(b"\n") + 1]
        if data:
            self._write(encode(Frame(name, self._sent[name], data)))
            self._sent[name] += len(data)
        return len(block) == _BLOCK_BYTES and bool(data)


class Receiver:
    """Turns a stream of text back into frames."""

    def __init__(self) -> None:
        self._rest = ""
        self._pieces: list[str] = []
        self.others: list[str] = []
        """The last lines that were no frames."""

    def feed(self, text: str) -> Iterator[Frame]:
        """Yield the frames that this piece of the stream completes."""
        *lines, self._rest = (self._rest + text).split("\n")
        # A job that writes into the stream itself must not fill its reader's memory.
        self._rest = self._rest[:_LONGEST_CHARACTERS]
        for line in lines:
            if not line.startswith(MARK):
                self.others = [*self.others[-19:], line]
                continue
            frame = self._decode(line)
            if frame is not None:
                yield frame

    def _decode(self, line: str) -> Frame | None:
        try:
            name, offset, left, text = line.removeprefix(MARK).split(" ")
            self._pieces.append(text)
            if int(left) and len(self._pieces) < _MOST_PIECES:
                return None
            packed = base64.b64decode("".join(self._pieces), validate=True)
            # More than a sender puts into a frame is not from one.
            data = zlib.decompressobj().decompress(packed, 4 * _BLOCK_BYTES)
            self._pieces.clear()
            return Frame(name, int(offset), data)
        except (ValueError, binascii.Error, zlib.error):
            self._pieces.clear()
            return None


def encode(frame: Frame) -> bytes:
    """Return the lines of a frame."""
    text = base64.b64encode(zlib.compress(frame.data, _LEVEL)).decode()
    pieces = [text[at : at + _PIECE_CHARACTERS] for at in range(0, len(text), _PIECE_CHARACTERS)]
    return "".join(
        f"{MARK}{frame.name} {frame.offset} {left} {piece}\n"
        for left, piece in zip(range(len(pieces) - 1, -1, -1), pieces, strict=True)
    ).encode()
