"""How fast this machine does each kind of work: measured by every workflow, kept beside the models.

A rate is a sum of work over a sum of seconds, in which older workflows count half as much as the
next newer one, so a large workflow outweighs smaller ones.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

FILE = "rates.json"

SUBSTANTIAL_SECONDS = 5
"""Work that would take less by our benchmarks teaches nothing: start-up is most of its time."""

FADING = 0.5
"""What an older measurement counts against the next newer one."""

DEFAULTS = {
    "mosaic": 27e6,
    "predict": 650e3,
    "geometries": 60e3,
    "polygons": 10e6,
    "change": 20e6,
    "multiscales": 10e6,
}
"""Units a second and worker of kinds of work that were never measured here.

From our benchmarks on two cores of an AMD EPYC (Zen 4): 8 dates of 4 bands of 4096 x 4096 from
local files in 5 s; a U-Net with an EfficientNet-B3 by OpenVINO at 1.3 Mpx/s; polygons of 16.8 Mpx
in 0.8 s with their reading. Geometry models are the weakest guess: a large one on a CPU.
"""


@dataclass(frozen=True, slots=True)
class Effort:
    """A piece of work."""

    kind: str
    """A key of DEFAULTS."""
    of: str
    """What makes it faster or slower than others of its kind: a dataset, a model's name."""
    units: float
    """Source pixels for mosaics, the model's pixels for predictions, else the output's pixels."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a piece of work takes."""

    seconds: float
    basis: str
    """What the figure rests on, as a clause."""


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates of this machine; the file appears with the first workflow."""

    folder: Path

    def estimate(self, effort: Effort, workers: int) -> Estimate:
        """Return how long work takes: by the same work here, by like work, or by our benchmarks."""
        known = self._read()
        alike = [_per_second(each) for name, each in known.items() if _kind(name) == effort.kind]
        own = known.get(_name(effort))
        if own is not None:
            rate, basis = _per_second(own), f"as measured here for {effort.of}"
        elif alike:
            rate, basis = min(alike), f"as measured here for other work, not for {effort.of}"
        else:
            rate, basis = DEFAULTS[effort.kind], "by our benchmarks, as none was measured here yet"
        return Estimate(effort.units / (rate * workers), f"{_spoken(effort, rate)}, {basis}")

    def learn(self, effort: Effort, seconds: float, workers: int) -> None:
        """Add a measurement; where the folder cannot be written, estimates stay as they are."""
        if effort.units < SUBSTANTIAL_SECONDS * DEFAULTS[effort.kind]:
            return
        known = self._read()
        before = known.get(_name(effort), {"units": 0.0, "seconds": 0.0, "workflows": 0})
        known[_name(effort)] = {
            "units": before["units"] * FADING + effort.units,
            "seconds": before["seconds"] * FADING + seconds * workers,
            "workflows": before["workflows"] + 1,
        }
        try:
            self._write(known)
        except OSError as error:
            log.info("The rates of this machine cannot be kept in %s: %s", self.folder, error)

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads((self.folder / FILE).read_text(encoding="utf-8"))
            return {
                name: each
                for name, each in known.items()
                if min(each["units"], each["seconds"], each["workflows"]) > 0
            }
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return {}

    def _write(self, known: dict[str, Any]) -> None:
        """Replace the file at once; of two workflows that end together one is forgotten."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=self.folder, prefix=f".{FILE}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(known, file, indent=1, sort_keys=True)
            Path(partial).replace(self.folder / FILE)
        finally:
            Path(partial).unlink(missing_ok=True)


def _name(effort: Effort) -> str:
    return f"{effort.kind}/{effort.of}"


def _kind(name: str) -> str:
    return name.partition("/")[0]


def _per_second(known: dict[str, float]) -> float:
    return known["units"] / known["seconds"]


def _spoken(effort: Effort, rate: float) -> str:
    return f"{effort.kind} at {rate / 1e6:.3g} Mpx a second and worker"
