"""Runtimes: the sizes a run may ask for, and what each means on this machine.

No public source says what a size holds; these numbers are ours. They double from step to step
(memory once fourfold), begin small, so that a laptop runs several at a time, and are cut to the
machine where it is smaller. An operator changes any of them by a TOML file (LANDLOOM_RUNTIMES):

    [tiny]
    cpus = 1
    memory_gib = 2
    gpus = 0
    spark_executors = 0
    spatial_units_per_hour = 1.0
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from landloom.errors import InvalidInput, SetupProblem
from landloom.server.launchers.machine import Machine

_GIB: Final = 1 << 30
_GPU_UNITS: Final = 8.0
"""Spatial Units per hour of one GPU; a core counts 1."""
_HIMEM_UNITS: Final = 1.5
_CORES_PER_EXECUTOR: Final = 4

type Tag = Literal["GPU", "HIMEM", "HICPU", "MATCHER"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """A size by name."""

    name: str
    cpus: float
    memory_bytes: int
    gpus: int = 0
    spark_executors: int = 0
    """Executors that Spark asks its master for; none where it runs inside the driver."""
    spatial_units_per_hour: float = 0.0
    """What an hour of it costs, in the platform's unit of account."""
    size: str = ""
    """The size's published word: MICRO to XXXXLARGE."""
    tag: Tag | None = None
    """What it has more of than the size itself; None for the general ones."""


@dataclass(frozen=True, slots=True)
class Allotment:
    """What a run gets of the runtime it asked for."""

    runtime: Runtime
    is_clamped: bool
    """The machine has less than the runtime stands for; say so to the user."""


class Runtimes:
    """Every runtime by name, as the operator configured it."""

    def __init__(self, sizes: Mapping[str, Runtime]) -> None:
        self._sizes = dict(sizes)

    def __iter__(self) -> Iterator[Runtime]:
        return iter(self._sizes.values())

    def find(self, name: str) -> Runtime:
        """Return the runtime by this name; the old upper-case spellings mean the new ones.

        Raises:
            InvalidInput: There is none by this name.
        """
        runtime = self._sizes.get(_OLD_SPELLINGS.get(name, name))
        if runtime is None:
            raise InvalidInput(
                f"There is no runtime {name!r}.",
                suggestion=f"Choose one of {', '.join(self._sizes)}.",
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


def millicores(runtimes: Runtimes, machine: Machine) -> dict[str, int]:
    """Return what a run of each runtime holds of the machine, in thousandths of a core."""
    return {each.name: round(1000 * min(each.cpus, machine.cpus)) for each in runtimes}


@functools.cache
def configured_runtimes(path: Path | None) -> Runtimes:
    """Return all runtimes, those that the file at `path` names changed as it says.

    Raises:
        SetupProblem: The file cannot be read, or names what is not there.
    """
    if path is None:
        return Runtimes(RUNTIMES)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise SetupProblem(
            f"The runtimes file {path} cannot be read: {problem}.",
            suggestion="Correct the file that LANDLOOM_RUNTIMES names.",
        ) from problem
    for name in tables:
        if name not in RUNTIMES:
            raise SetupProblem(
                f"{path}: there is no runtime {name!r}.",
                suggestion=f"The names are fixed: {', '.join(RUNTIMES)}.",
            )
    changed = {name: _changed(RUNTIMES[name], tables[name], path) for name in tables}
    return Runtimes(RUNTIMES | changed)


def _changed(runtime: Runtime, table: Any, path: Path) -> Runtime:
    fields = dict(table) if isinstance(table, dict) else {"": table}
    for key, value in fields.items():
        if key not in _FIELDS or not _is_amount(value, whole=key in _WHOLE):
            raise SetupProblem(
                f"{path}: {runtime.name}.{key} = {value!r} means nothing.",
                suggestion=f"Numbers from 0 on, of {', '.join(_FIELDS)}.",
            )
    if "memory_gib" in fields:
        fields["memory_bytes"] = int(fields.pop("memory_gib") * _GIB)
    changed = replace(runtime, **fields)
    if changed.cpus <= 0 or changed.memory_bytes <= 0:
        raise SetupProblem(f"{path}: {runtime.name} needs some cpus and some memory_gib.")
    return changed


def _is_amount(value: Any, *, whole: bool) -> bool:
    # A bool is an int to Python, but no number of anything.
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return False
    return math.isfinite(value) and value >= 0


_WHOLE: Final = frozenset({"gpus", "spark_executors"})
_FIELDS: Final = ("cpus", "memory_gib", "gpus", "spark_executors", "spatial_units_per_hour")


def _all_runtimes() -> dict[str, Runtime]:
    general = [
        _general("micro", "MICRO", cpus=0.5, gib=1),
        _general("tiny", "TINY", cpus=1, gib=2),
        _general("small", "SMALL", cpus=2, gib=4),
        _general("medium", "MEDIUM", cpus=4, gib=16),
        _general("large", "LARGE", cpus=8, gib=32),
        _general("x-large", "XLARGE", cpus=16, gib=64),
        _general("2x-large", "XXLARGE", cpus=32, gib=128),
        _general("4x-large", "XXXXLARGE", cpus=64, gib=256),
    ]
    sizes = {runtime.name: runtime for runtime in general}
    special = [
        _variant(sizes[size], "himem", "HIMEM", memory=2, units=_HIMEM_UNITS)
        for size in ("medium", "large", "x-large", "2x-large", "4x-large")
    ]
    special += [
        _variant(sizes[size], "hicpu", "HICPU", cpus=2, units=2) for size in ("x-large", "2x-large")
    ]
    special += [_variant(sizes[size], "matcher", "MATCHER") for size in ("x-large", "2x-large")]
    special += [
        _variant(sizes[size], "a10-gpu", "GPU", gpus=1)
        for size in ("micro", "tiny", "small", "medium", "large", "x-large")
    ]
    return sizes | {runtime.name: runtime for runtime in special}


def _general(name: str, size: str, *, cpus: float, gib: int) -> Runtime:
    return Runtime(
        name,
        cpus=cpus,
        memory_bytes=gib * _GIB,
        spark_executors=int(cpus) // _CORES_PER_EXECUTOR,
        spatial_units_per_hour=float(cpus),
        size=size,
    )


def _variant(
    base: Runtime,
    suffix: str,
    tag: Tag,
    *,
    cpus: int = 1,
    memory: int = 1,
    gpus: int = 0,
    units: float = 1,
) -> Runtime:
    return replace(
        base,
        name=f"{base.name}-{suffix}",
        cpus=base.cpus * cpus,
        memory_bytes=base.memory_bytes * memory,
        gpus=gpus,
        spark_executors=base.spark_executors * cpus,
        spatial_units_per_hour=base.spatial_units_per_hour * units + gpus * _GPU_UNITS,
        tag=tag,
    )


RUNTIMES: Final = _all_runtimes()
"""Every runtime by name as it is without a file, smallest first within its kind."""

_OLD_SPELLINGS: Final = {
    "TINY": "tiny",
    "SMALL": "small",
    "MEDIUM": "medium",
    "LARGE": "large",
    "XLARGE": "x-large",
    "XXLARGE": "2x-large",
}
