"""What the machine has to give: cores, memory and GPUs, as far as this process may use them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

_CGROUP: Final = Path("/sys/fs/cgroup")
_DEVICES: Final = Path("/dev")
_FOR_RUNS: Final = 0.8
"""Share of the memory that runs may plan with; server, store and system live on the rest."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Cores, bytes and GPUs that workloads may use together."""

    cpus: float
    memory_bytes: int
    gpus: int = 0


def this_machine(
    *,
    cpus: float | None = None,
    memory_bytes: int | None = None,
    gpus: int | None = None,
    cgroup: Path = _CGROUP,
    devices: Path = _DEVICES,
) -> Machine:
    """Measure the machine, within the limits of its container; what is given is taken as it is."""
    return Machine(
        cpus=cpus if cpus is not None else _cpus(cgroup),
        memory_bytes=memory_bytes if memory_bytes is not None else int(_FOR_RUNS * _memory(cgroup)),
        gpus=gpus if gpus is not None else len(list(devices.glob("nvidia[0-9]*"))),
    )


def _cpus(cgroup: Path) -> float:
    if hasattr(os, "sched_getaffinity"):
        cores = float(len(os.sched_getaffinity(0)))
    else:
        cores = float(os.cpu_count() or 1)
    # cgroup v2: "<quota> <period>" in microseconds, or "max <period>".
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        cores = min(cores, int(quota) / int(period))
    return max(cores, 0.5)


def _memory(cgroup: Path) -> int:
    total = int(psutil.virtual_memory().total)
    limit = _read(cgroup / "memory.max")
    return min(total, int(limit)) if limit.isdigit() else total


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
