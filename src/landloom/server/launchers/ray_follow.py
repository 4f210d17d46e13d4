"""Copying a Ray job's files into its workload's folder while it runs, and telling its end.

One process at a time follows a workload: who holds its log. Another that comes later, or after a
restart, reads the job's output from its beginning again and passes over what the folder has.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import structlog

from landloom.errors import Unavailable
from landloom.runner import folder
from landloom.runner.frames import WHOLE, Frame, Receiver
from landloom.runner.log import LogWriter
from landloom.runner.usage import USAGE
from landloom.server.launchers.ray_record import JobRecord, read_job, write_job

_PAUSE_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.2
_SILENT_SECONDS: Final = 10.0
"""After so long without output the cluster is asked whether it is still there."""
_LAST_LOOKS: Final = 3
"""Times that a finished job's output is read in search of its end."""
NOT_STARTABLE: Final = 126
"""Exit code of what Ray could not start."""

_log = structlog.get_logger("landloom.ray")


@dataclass(frozen=True, slots=True)
class JobState:
    """How Ray says that a job stands."""

    pending: bool
    over: bool
    stopped: bool
    """By somebody's wish."""
    message: str


class Jobs(Protocol):
    """What following needs of a cluster; each raises Unavailable where it does not answer."""

    async def state(self, submission_id: str) -> JobState | None:
        """Return how a job stands; None where there is no such job."""

    async def stop(self, submission_id: str) -> None:
        """Ask a job's process tree to end."""

    def tail(self, submission_id: str) -> AsyncGenerator[str]:
        """Yield a job's output from its beginning, as it comes."""


class Follower:
    """Follows one workload to its end."""

    def __init__(self, directory: Path, jobs: Jobs, *, away_seconds: float) -> None:
        self._directory = directory
        self._jobs = jobs
        self._away_seconds = away_seconds
        self._silent_seconds = min(_SILENT_SECONDS, away_seconds)
        self._heard = time.monotonic()
        self._last_looks = 0

    async def run(self) -> None:
        """Copy until the workload has ended, or is lost."""
        record = read_job(self._directory)
        if record is None:
            return
        following = asyncio.create_task(self._follow_on(record))
        withdrawing = asyncio.create_task(self._pass_on_cancel(record))
        try:
            await asyncio.wait({following, withdrawing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (following, withdrawing):
                task.cancel()
            told = await asyncio.gather(following, withdrawing, return_exceptions=True)
        if isinstance(told[0], Exception):
            raise told[0]
        if told[1] is None:
            await asyncio.to_thread(self._withdraw)

    async def _follow_on(self, record: JobRecord) -> None:
        while True:
            if await self._follow(record):
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _follow(self, record: JobRecord) -> bool:
        """Read the job's output once; tell whether that was the end."""
        try:
            # Not in a thread: a cancellation meanwhile would leave the log taken for ever.
            copy = Copy(self._directory)
        except BlockingIOError:
            # Another process follows; it may be killed at any moment.
            return await asyncio.to_thread(_is_over, self._directory)
        try:
            if await asyncio.to_thread(_is_over, self._directory):
                return True
            await self._read(record, copy)
            return copy.ended or await self._end_without_word(record, copy)
        except OSError:
            _log.exception("the files of a job cannot be written", job=record.submission_id)
            return False
        finally:
            await asyncio.to_thread(copy.close)

    async def _read(self, record: JobRecord, copy: Copy) -> None:
        """Copy the job's output up to its end, or until the cluster does not answer."""
        with suppress(Unavailable):
            async with aclosing(self._jobs.tail(record.submission_id)) as output:
                while not copy.ended:
                    text = await self._next(output, record)
                    if text is None:
                        return
                    await _wholly(partial(copy.take, text))

    async def _next(self, output: AsyncGenerator[str], record: JobRecord) -> str | None:
        """Return the next piece of the output; None at its end.

        The connection may stay open and silent for ever when the machine at its other end is gone.

        Raises:
            Unavailable: The cluster does not answer.
        """
        coming = asyncio.ensure_future(anext(output, None))
        try:
            while not (await asyncio.wait({coming}, timeout=self._silent_seconds))[0]:
                state = await self._jobs.state(record.submission_id)
                if state is None or state.over:
                    return None
                self._heard = time.monotonic()
            text = await coming
            self._heard = time.monotonic()
            return text
        finally:
            if not coming.done():
                coming.cancel()
                await asyncio.wait({coming})

    async def _end_without_word(self, record: JobRecord, copy: Copy) -> bool:
        """Say what became of a job whose output tells no end, where that is known."""
        try:
            state = await self._jobs.state(record.submission_id)
        except Unavailable as problem:
            silence = time.monotonic() - self._heard
            if silence < self._away_seconds:
                return False
            copy.note(f"The Ray cluster has not answered for {silence:.0f} s: {problem.message}")
            return await self._lose(record, copy, "the cluster does not answer")
        self._heard = time.monotonic()
        if state is None:
            return await self._lose(record, copy, "the cluster does not know the job any more")
        if not state.over:
            return False
        self._last_looks += 1
        if self._last_looks < _LAST_LOOKS:
            return False
        return await self._conclude(record, copy, state)

    async def _conclude(self, record: JobRecord, copy: Copy, state: JobState) -> bool:
        runner = folder.read_runner(self._directory)
        if state.stopped:
            code = folder.KILLED if runner is not None else folder.TERMINATED
            copy.end(folder.ended_from_outside(code, "cancelled"))
            return True
        if runner is None:
            copy.note(f"Ray could not start the job: {_first_line(state.message)}")
            for line in copy.others:
                copy.note(line)
            copy.end(folder.ended_from_outside(NOT_STARTABLE, "exited"))
            return True
        return await self._lose(record, copy, "its runner is gone")

    async def _lose(self, record: JobRecord, copy: Copy, why: str) -> bool:
        copy.note(f"The job is lost ({why}); lines that it printed last may be missing here.")
        await asyncio.to_thread(write_job, self._directory, record.as_lost(why))
        return True

    async def _pass_on_cancel(self, record: JobRecord) -> None:
        """Tell Ray of a cancel until it answers; return where the job had not begun by then.

        Ray tells a job that waits for room to end once it has room, which may never be.
        """
        while True:
            if (self._directory / folder.CANCEL).exists():
                with suppress(Unavailable):
                    await self._jobs.stop(record.submission_id)
                    state = await self._jobs.state(record.submission_id)
                    if state is not None and state.pending:
                        return
            await asyncio.sleep(_LOOK_SECONDS)

    def _withdraw(self) -> None:
        """End a workload that was cancelled before it began."""
        with suppress(BlockingIOError):
            copy = Copy(self._directory)
            if not _is_over(self._directory):
                copy.end(folder.ended_from_outside(folder.TERMINATED, "cancelled"))
            copy.close()


class Copy:
    """The files of a workload's folder, as far as they have been copied.

    Attributes:
        ended: Whether the end was written.
    """

    def __init__(self, directory: Path) -> None:
        """Take the log, which nobody else may be writing.

        Raises:
            BlockingIOError: Somebody else is.
        """
        self._directory = directory
        self._log = LogWriter(directory, wait=False)
        self._receiver = Receiver()
        usage = directory / USAGE
        record = read_job(directory)
        before = record.before if record is not None else 0
        self._copied = {
            folder.LOG: self._log_bytes() - before,
            USAGE: usage.stat().st_size if usage.exists() else 0,
        }
        self.ended = False

    @property
    def others(self) -> list[str]:
        """What the job's output held beside files: the last words of a broken interpreter."""
        return self._receiver.others

    def take(self, text: str) -> None:
        """Write what a piece of the job's output brings.

        Raises:
            OSError: The disk is full; read the output again later.
        """
        for frame in self._receiver.feed(text):
            if frame.offset == WHOLE:
                self._replace(frame)
            elif frame.name in self._copied:
                self._grow(frame)

    def note(self, text: str) -> None:
        """Append a line of the platform's own to the log."""
        self._log.note(f"[landloom] {text}")

    def end(self, record: folder.ExitRecord) -> None:
        """Write how the workload ended, its log being complete."""
        self._log.close()
        folder.write_exit(self._directory, record)
        self.ended = True

    def close(self) -> None:
        """Let go of the log."""
        if not self.ended:
            self._log.close()

    def _grow(self, frame: Frame) -> None:
        copied = self._copied[frame.name]
        fresh = frame.data[max(0, copied - frame.offset) :]
        if not fresh:
            return
        missing = max(0, frame.offset - copied)
        if frame.name == folder.LOG:
            if missing:
                self._tell_gap(missing)
            self._log.copy(fresh)
        else:
            with (self._directory / frame.name).open("ab") as file:
                # Blank lines in place of what did not arrive: its length says how much was copied.
                file.write(b"\n" * missing + fresh)
        self._copied[frame.name] = frame.offset + len(frame.data)

    def _tell_gap(self, missing: int) -> None:
        """Say that bytes are missing, and note that the log's length tells its place otherwise."""
        length = self._log_bytes()
        self.note(f"{missing} bytes of this log did not arrive.")
        record = read_job(self._directory)
        if record is not None:
            write_job(self._directory, record.shifted(self._log_bytes() - length - missing))

    def _log_bytes(self) -> int:
        return (self._directory / folder.LOG).stat().st_size

    def _replace(self, frame: Frame) -> None:
        try:
            fields = json.loads(frame.data)
            if frame.name == folder.RUNNER:
                folder.write_record(self._directory, folder.RunnerRecord(**fields))
            elif frame.name == folder.EXIT:
                self.end(folder.ExitRecord(**fields))
        except (TypeError, ValueError):
            _log.warning("a job sent what no runner writes", file=frame.name)


async def _wholly(step: Callable[[], None]) -> None:
    """Do a step in a thread, and to its end where this is cancelled meanwhile."""
    doing = asyncio.ensure_future(asyncio.to_thread(step))
    try:
        await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait({doing})
        raise


def _is_over(directory: Path) -> bool:
    if folder.read_exit(directory) is not None:
        return True
    record = read_job(directory)
    return record is None or record.lost is not None


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "it does not say why."
