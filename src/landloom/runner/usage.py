"""What a workload's processes use, sampled while they run and kept beside the log.

`usage` holds one line a sample: `<Unix seconds> <CPU seconds so far> <bytes>`, and with a GPU its
per cent of time and of memory. CPU counts processes
that have ended too. Memory is the sum of proportional set sizes, so pages that forked workers share
count once. Samples come each second at first and ever more rarely, so a day fits into some thousand
lines.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from landloom.runner.gpus import Gpus, GpuUse

USAGE: Final = "usage"

_SHORTEST_SECONDS: Final = 1.0
_DENSE: Final = 600
"""So many samples come at the shortest interval; after that each waits a share of the age."""
_NEAR: Final = 0.7
"""From this share of the memory limit on it is looked at more often."""
_NEAR_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Sample:
    """The use of one moment."""

    at: float
    """Unix seconds."""
    cpu_seconds: float
    """Of all processes since the start."""
    memory_bytes: int
    gpu: GpuUse | None = None
    """None where the workload has no GPU, or the driver does not tell."""


class Meter:
    """Samples a process tree into a workload's folder."""

    def __init__(self, directory: Path, memory_limit: int | None, gpus: Gpus | None = None) -> None:
        self._path = directory / USAGE
        self._limit = memory_limit
        self._gpus = gpus
        self._began = self._due = time.monotonic()
        # Times of samples follow the clock that is never set back.
        self._wall = time.time() - self._began
        self._written = self._began - _SHORTEST_SECONDS
        self.peak_memory = 0
        """Bytes."""

    @property
    def is_due(self) -> bool:
        """Whether it is time to look."""
        return time.monotonic() >= self._due

    @property
    def is_exceeded(self) -> bool:
        """Whether more memory was seen than there is to be had."""
        return self._limit is not None and self.peak_memory > self._limit

    def note_refusal(self) -> None:
        """Note that the kernel refused a page: no sample need have seen the peak."""
        self.peak_memory = max(self.peak_memory, self._limit or 0)

    def look(self, processes: Sequence[psutil.Process]) -> None:
        """Take a sample of these processes."""
        now = time.monotonic()
        memory = sum(map(memory_bytes, processes))
        gpu = self._gpus.look() if self._gpus is not None else None
        sample = Sample(self._wall + now, cpu_seconds(processes), memory, gpu)
        self.peak_memory = max(self.peak_memory, memory)
        interval = max(_SHORTEST_SECONDS, (now - self._began) / _DENSE)
        near = self._limit is not None and sample.memory_bytes > _NEAR * self._limit
        self._due = now + (_NEAR_SECONDS if near else interval)
        if processes and now - self._written >= interval - _NEAR_SECONDS:
            self._written = now
            self._append(sample)

    def _append(self, sample: Sample) -> None:
        line = f"{sample.at:.3f} {sample.cpu_seconds:.3f} {sample.memory_bytes}"
        if sample.gpu is not None:
            line += f" {sample.gpu.percent:.1f} {sample.gpu.memory_percent:.1f}"
        # A full disk must not end a workload for want of a figure.
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                end = os.fstat(descriptor).st_size
                data = f"{line}\n".encode()
                if os.write(descriptor, data) < len(data):
                    # The next sample would be glued to half of this one.
                    os.ftruncate(descriptor, end)
            finally:
                os.close(descriptor)


def read_usage(directory: Path) -> list[Sample]:
    """Return a workload's samples, oldest first; none where none was taken."""
    try:
        text = (directory / USAGE).read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return []
    samples = []
    # The last piece is empty, or half a line that is being written.
    for line in text.split("\n")[:-1]:
        # What a power cut, or a disk that was full, left torn is no sample.
        with suppress(ValueError, TypeError):
            samples.append(_sample(line))
    return samples


def _sample(line: str) -> Sample:
    at, cpu, memory, *gpu = line.split()
    use = GpuUse(*map(float, gpu)) if gpu else None
    return Sample(float(at), float(cpu), int(memory), use)


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Return the CPU seconds of these processes and of all that this process has waited for."""
    waited = os.times()
    total = waited.children_user + waited.children_system
    for process in processes:
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
            total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total


def memory_bytes(process: psutil.Process) -> int:
    """Return a process' share of memory; its resident set where the kernel tells no share."""
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
