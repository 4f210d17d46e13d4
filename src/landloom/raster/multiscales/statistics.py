"""Statistics of a band in one pass, from pieces in any order: moments and an exact histogram.

Bins are [k * 2**e, (k + 1) * 2**e). The exponent e follows from the least and the greatest value
alone, so that at most `BINS` bins span them, and grows with their distance. Two sketches therefore
merge without loss: the finer one's bins each lie in one bin of the coarser.

Moments merge by the formulas of Chan, Golub and LeVeque, "Updating Formulae and a Pairwise
Algorithm for Computing Sample Variances" (1979).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel

BINS = 4096
"""Bins that are counted: a percentile is off by at most a 2048th of the range of values."""

SHOWN_BINS = 256
"""Bins of the histogram in a store's attributes: what a map draws."""

PERCENTILES = (2, 98)
"""Between these a map stretches its colours unless told otherwise."""

FLOAT32_BITS = 24
"""Of a significand: bins finer than this tell no float32 values apart."""


@dataclass(frozen=True, slots=True)
class BandSketch:
    """What is known of a band's finite values."""

    count: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared deviations from the mean."""
    exponent: int = 0
    first: int = 0
    """Number of the first bin."""
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, pixels: NDArray[np.float32]) -> BandSketch:
        """Return the sketch of pixels of any shape; NaN and infinities do not count."""
        values = np.ascontiguousarray(pixels, np.float32).reshape(-1)
        count, low, high, total = _extent(values)
        if not count:
            return cls()
        mean = total / count
        exponent, first, size = _bins(low, high)
        counts = np.zeros(size, np.int64)
        squares = _spread(values, mean, 2.0**-exponent, first, counts)
        return cls(count, low, high, mean, squares, exponent, first, counts)

    def merged(self, other: BandSketch) -> BandSketch:
        """Return the sketch of both."""
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        apart = other.mean - self.mean
        low, high = min(self.minimum, other.minimum), max(self.maximum, other.maximum)
        exponent, first, size = _bins(low, high)
        counts = np.zeros(size, np.int64)
        for sketch in (self, other):
            _fold(sketch, counts, exponent, first)
        return BandSketch(
            count,
            low,
            high,
            self.mean + apart * other.count / count,
            self.squares + other.squares + apart**2 * self.count * other.count / count,
            exponent,
            first,
            counts,
        )

    def percentile(self, percent: float) -> float:
        """Return the value below which `percent` of all values lie, exact to one bin."""
        counts = self.counts
        below = np.cumsum(counts)
        wanted = self.count * percent / 100
        place = min(int(np.searchsorted(below, wanted)), len(counts) - 1)
        inside = (wanted - (below[place] - counts[place])) / max(1, counts[place])
        value = (self.first + place + inside) * 2.0**self.exponent
        return float(min(max(value, self.minimum), self.maximum))

    def document(self) -> dict[str, Any]:
        """Return the band's statistics as they stand in a store's attributes."""
        if not self.count:
            return {"count": 0}
        exponent, first, size = _bins(self.minimum, self.maximum, SHOWN_BINS)
        counts = np.zeros(size, np.int64)
        _fold(self, counts, exponent, first)
        edges = (first + np.arange(size + 1)) * 2.0**exponent
        return {
            "count": self.count,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "mean": self.mean,
            "stddev": math.sqrt(self.squares / self.count),
            "percentiles": {str(percent): self.percentile(percent) for percent in PERCENTILES},
            "histogram": {"bin_edges": edges.tolist(), "counts": counts.tolist()},
        }

    def to_json(self) -> list[Any]:
        """Return the sketch as JSON takes it."""
        if not self.count:
            return []
        moments = [self.count, self.minimum, self.maximum, self.mean, self.squares]
        return [*moments, self.exponent, self.first, self.counts.tolist()]

    @classmethod
    def from_json(cls, document: Sequence[Any]) -> BandSketch:
        """Return what `to_json` gave."""
        if not document:
            return cls()
        return cls(*document[:-1], np.array(document[-1], np.int64))  # type: ignore[call-arg]


def _fold(sketch: BandSketch, counts: NDArray[np.int64], exponent: int, first: int) -> None:
    """Add a sketch's counts to those of bins that are as coarse as its own or coarser."""
    numbers = sketch.first + np.arange(len(sketch.counts), dtype=np.int64)
    places = (numbers >> (exponent - sketch.exponent)) - first
    np.add.at(counts, places, sketch.counts)


def _bins(low: float, high: float, most: int = BINS) -> tuple[int, int, int]:
    """Return exponent, first bin and number of bins for values from `low` to `high`.

    The exponent is the least that needs no more than `most` bins, and no less where the range grows
    at either end.
    """
    largest = max(abs(low), abs(high))
    exponent = math.frexp(largest)[1] - FLOAT32_BITS
    if high > low:
        exponent = max(exponent, math.frexp((high - low) / most)[1] - 1)
    while True:
        width = 2.0**exponent
        first, last = math.floor(low / width), math.floor(high / width)
        if last - first < most:
            return exponent, first, last - first + 1
        exponent += 1


@kernel
def _extent(values: NDArray[np.float32]) -> tuple[int, float, float, float]:
    """Return count, least, greatest and sum of the finite values."""
    count, low, high, total = 0, np.inf, -np.inf, 0.0
    for index in range(values.size):
        value = np.float64(values[index])
        if np.isfinite(value):
            count += 1
            total += value
            low = min(low, value)
            high = max(high, value)
    return count, low, high, total


@kernel
def _spread(
    values: NDArray[np.float32], mean: float, scale: float, first: int, counts: NDArray[np.int64]
) -> float:
    """Count the finite values by bins; return the sum of their squared deviations."""
    squares = 0.0
    for index in range(values.size):
        value = np.float64(values[index])
        if np.isfinite(value):
            squares += (value - mean) ** 2
            counts[np.int64(np.floor(value * scale)) - first] += 1
    return squares
