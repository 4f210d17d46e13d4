"""What server and raster worker tell each other by files in the workflow's folder.

`request.json` goes in; in the worker's own folder `progress.jsonl` grows and `result.json` is
published whole at the end. Whoever owns that folder may put anything in it: links and pipes are not
followed, and what belongs to somebody else is not read.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydantic import ValidationError

from landloom.runner.folder import WORK
from landloom.wire.enums import WorkflowStatus
from landloom.wire.model import WireModel
from landloom.wire.progress import ProgressEvent
from landloom.wire.results import WorkflowError, WorkflowResult

REQUEST: Final = "request.json"
PROGRESS: Final = "progress.jsonl"
RESULT: Final = "result.json"
_TAIL_BYTES: Final = 64 * 1024
_LONGEST_RESULT_BYTES: Final = 64 << 20
_BLOCK_BYTES: Final = 1 << 20
"""What is read of the progress at a time, and the longest event."""


class Outcome(WireModel):
    """What a worker says at its end."""

    status: WorkflowStatus
    result: WorkflowResult | None = None
    error: WorkflowError | None = None


def write_request(directory: Path, *, workflow_id: str, output_uri: str, request: Any) -> Path:
    """Write what the worker is to do; return the file's path."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / REQUEST
    temporary = path.with_suffix(".tmp")
    body = {"id": workflow_id, "output_uri": output_uri, "request": request}
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(body, file)
    temporary.replace(path)
    return path


def read_outcome(directory: Path) -> Outcome | None:
    """Return what the worker said at its end, or None where it said nothing that makes sense."""
    try:
        with _open(directory, RESULT) as file:
            outcome = Outcome.model_validate_json(file.read(_LONGEST_RESULT_BYTES))
    except (OSError, ValidationError):
        return None
    return outcome if outcome.status.final else None


def last_progress(directory: Path) -> ProgressEvent | None:
    """Return the newest event."""
    try:
        with _open(directory, PROGRESS) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return None
    return next(filter(None, map(_event, reversed(lines))), None)


@dataclass(slots=True)
class ProgressReader:
    """Reads events as they are written."""

    directory: Path
    after: int = -1
    """Events up to this `seq` are skipped."""
    _offset: int = 0

    def read(self) -> list[ProgressEvent]:
        """Return the next events, some of them where they are many; none where none came since.

        A line counts once it is whole.
        """
        while block := self._block():
            if events := list(self._new(block)):
                return events
        return []

    def _block(self) -> bytes:
        """Return the next whole lines, a bounded part of what is there."""
        try:
            with _open(self.directory, PROGRESS) as file:
                file.seek(self._offset)
                block = file.read(_BLOCK_BYTES)
        except OSError:
            return b""
        whole = block[: block.rfind(b"\n") + 1]
        if not whole and len(block) == _BLOCK_BYTES:
            whole = block  # So long a line is no event.
        self._offset += len(whole)
        return whole

    def _new(self, block: bytes) -> Iterator[ProgressEvent]:
        for line in block.splitlines():
            event = _event(line)
            if event is not None and event.seq > self.after:
                self.after = event.seq
                yield event


def _open(directory: Path, name: str) -> BinaryIO:
    """Open a file of the worker's.

    Raises:
        OSError: It is not there, is no file, or is not the worker's.
    """
    work = directory / WORK
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(work / name, flags)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != work.stat().st_uid:
            raise PermissionError(f"{work / name} is no file of the worker's")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _event(line: bytes) -> ProgressEvent | None:
    try:
        return ProgressEvent.model_validate_json(line)
    except ValidationError:
        return None
