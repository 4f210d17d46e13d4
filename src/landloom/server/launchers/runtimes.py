"""Runtimes: the sizes a run may ask for, and what each means on this machine.

No public source says what a size holds; these numbers are ours. They double from step to step
(memory once fourfold), begin small, so that a laptop runs several at a time, and are cut to the
machine where it is smaller.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from landloom.errors import InvalidInput
from landloom.server.launchers.machine import Machine

_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Runtime:
    """A size by name."""

    name: str
    cpus: float
    memory_bytes: int
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class Allotment:
    """What a run gets of the runtime it asked for."""

    runtime: Runtime
    is_clamped: bool
    """The machine has less than the runtime stands for; say so to the user."""


def find_runtime(name: str) -> Runtime:
    """Return the runtime by this name; the old upper-case spellings mean the new ones.

    Raises:
        InvalidInput: There is none by this name.
    """
    runtime = RUNTIMES.get(_OLD_SPELLINGS.get(name, name))
    if runtime is None:
        raise InvalidInput(
            f"There is no runtime {name!r}.",
            suggestion=f"Choose one of {', '.join(RUNTIMES)}.",
            field="runtime",
        )
    return runtime


def clamp(runtime: Runtime, machine: Machine) -> Allotment:
    """Cut a runtime to what the machine has, so that it never waits for what cannot come."""
    cut = replace(
        runtime,
        cpus=min(runtime.cpus, machine.cpus),
        memory_bytes=min(runtime.memory_bytes, machine.memory_bytes),
        gpus=min(runtime.gpus, machine.gpus),
    )
    return Allotment(runtime=cut, is_clamped=cut != runtime)


def _all_runtimes() -> dict[str, Runtime]:
    general = [
        Runtime("micro", cpus=0.5, memory_bytes=1 * _GIB),
        Runtime("tiny", cpus=1, memory_bytes=2 * _GIB),
        Runtime("small", cpus=2, memory_bytes=4 * _GIB),
        Runtime("medium", cpus=4, memory_bytes=16 * _GIB),
        Runtime("large", cpus=8, memory_bytes=32 * _GIB),
        Runtime("x-large", cpus=16, memory_bytes=64 * _GIB),
        Runtime("2x-large", cpus=32, memory_bytes=128 * _GIB),
        Runtime("4x-large", cpus=64, memory_bytes=256 * _GIB),
    ]
    sizes = {runtime.name: runtime for runtime in general}
    special = [
        _variant(sizes[size], "himem", memory=2)
        for size in ("medium", "large", "x-large", "2x-large", "4x-large")
    ]
    special += [_variant(sizes[size], "hicpu", cpus=2) for size in ("x-large", "2x-large")]
    special += [_variant(sizes[size], "matcher") for size in ("x-large", "2x-large")]
    special += [
        _variant(sizes[size], "a10-gpu", gpus=1)
        for size in ("micro", "tiny", "small", "medium", "large", "x-large")
    ]
    return sizes | {runtime.name: runtime for runtime in special}


def _variant(
    base: Runtime, suffix: str, *, cpus: float = 1, memory: int = 1, gpus: int = 0
) -> Runtime:
    return Runtime(
        f"{base.name}-{suffix}",
        cpus=base.cpus * cpus,
        memory_bytes=base.memory_bytes * memory,
        gpus=gpus,
    )


RUNTIMES: Final = _all_runtimes()
"""Every runtime by name, smallest first within its kind."""

_OLD_SPELLINGS: Final = {
    "TINY": "tiny",
    "SMALL": "small",
    "MEDIUM": "medium",
    "LARGE": "large",
    "XLARGE": "x-large",
    "XXLARGE": "2x-large",
}
