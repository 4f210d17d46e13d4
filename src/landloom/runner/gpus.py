"""What the GPUs of a workload do, as NVIDIA's management library tells.

The library (NVML) comes with the driver; it is called by `ctypes`, because the runner needs nothing
beyond the standard library and psutil. A GPU is allotted to one workload at a time, so what it does
is what the workload does.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
LIBRARY: Final = "libnvidia-ml.so.1"

_OK: Final = 0


@dataclass(frozen=True, slots=True)
class GpuUse:
    """The mean over a workload's GPUs."""

    percent: float
    """Of the time of the last moments in which something ran on it."""
    memory_percent: float
    """Of its memory that is taken."""


class _Rates(ctypes.Structure):
    """`nvmlUtilization_t`."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    """`nvmlMemory_t`; bytes."""

    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


class Gpus:
    """The GPUs that a workload may use."""

    def __init__(self, library: Any, handles: Sequence[ctypes.c_void_p]) -> None:
        self._library = library
        self._handles = tuple(handles)

    @classmethod
    def of(cls, environment: Mapping[str, str], library: str = LIBRARY) -> Self | None:
        """Open the GPUs that an environment names; None where there are none, or no driver."""
        names = [name.strip() for name in environment.get(VISIBLE, "").split(",") if name.strip()]
        if not names:
            return None
        try:
            nvml = ctypes.CDLL(library)
            if nvml.nvmlInit_v2() != _OK:
                return None
            handles = [_open(nvml, name) for name in names]
        except (OSError, AttributeError):
            return None
        known = [handle for handle in handles if handle is not None]
        return cls(nvml, known) if known else None

    def look(self) -> GpuUse | None:
        """Return what they do now, or None where the driver does not tell."""
        percents, memory = [], []
        for handle in self._handles:
            rates, room = _Rates(), _Memory()
            if self._library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(rates)) != _OK:
                return None
            if self._library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(room)) != _OK:
                return None
            percents.append(float(rates.gpu))
            memory.append(100.0 * room.used / room.total if room.total else 0.0)
        return GpuUse(sum(percents) / len(percents), sum(memory) / len(memory))


def _open(nvml: Any, name: str) -> ctypes.c_void_p | None:
    """Open a GPU by its number, or by its UUID."""
    handle = ctypes.c_void_p()
    if name.isdigit():
        status = nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(name)), ctypes.byref(handle))
    else:
        status = nvml.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle))
    return handle if status == _OK else None
