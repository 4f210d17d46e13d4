"""Scores of components, summed so that the order of summing is no matter.

Scores are rounded to multiples of 2**-24, which is exact for every float32 in [0.5, 1) and off by
at most 3e-8 elsewhere, and summed as integers. Integer sums are associative, so a component that
was cut by any tiling gets the very same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landloom.errors import InvalidInput
from landloom.raster.kernel import kernel

SCALE_BITS = 24
SCALE = 1 << SCALE_BITS

LIMIT = 128
"""Scores below this keep their squares within int64; probabilities are far below it."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Sums over the pixels of each component; all arrays are (components,)."""

    count: NDArray[np.int64]
    total: NDArray[np.int64]
    """Sum of scores in units of 1 / SCALE."""
    square_low: NDArray[np.int64]
    square_high: NDArray[np.int64]
    """The sum of squares in units of 1 / SCALE**2 is square_high * SCALE + square_low."""
    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]

    def taken(self, order: NDArray[np.int64] | NDArray[np.bool_]) -> Statistics:
        """Return the components in another order, or some of them."""
        return Statistics(
            self.count[order],
            self.total[order],
            self.square_low[order],
            self.square_high[order],
            self.lowest[order],
            self.highest[order],
        )

    def merged(self, group: NDArray[np.int64], groups: int) -> Statistics:
        """Return the sums of `groups` groups; `group` gives each component's."""
        lowest = np.full(groups, np.inf, np.float32)
        highest = np.full(groups, -np.inf, np.float32)
        np.minimum.at(lowest, group, self.lowest)
        np.maximum.at(highest, group, self.highest)

        def summed(parts: NDArray[np.int64]) -> NDArray[np.int64]:
            out = np.zeros(groups, np.int64)
            np.add.at(out, group, parts)
            return out

        return Statistics(
            summed(self.count),
            summed(self.total),
            summed(self.square_low),
            summed(self.square_high),
            lowest,
            highest,
        )

    def joined(self, other: Statistics) -> Statistics:
        """Return these components followed by `other`'s."""
        return Statistics(
            np.concatenate([self.count, other.count]),
            np.concatenate([self.total, other.total]),
            np.concatenate([self.square_low, other.square_low]),
            np.concatenate([self.square_high, other.square_high]),
            np.concatenate([self.lowest, other.lowest]),
            np.concatenate([self.highest, other.highest]),
        )

    def mean(self) -> NDArray[np.float64]:
        """Return the mean score of each component."""
        return self.total / (self.count * float(SCALE))

    def deviation(self) -> NDArray[np.float64]:
        """Return the population standard deviation of each component's scores."""
        mean = self.total / self.count
        squares = self.square_high.astype(np.float64) * SCALE + self.square_low
        variance = np.maximum(squares / self.count - mean * mean, 0.0)
        deviation: NDArray[np.float64] = np.sqrt(variance) / SCALE
        return deviation

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return what a table says of each component."""
        return {
            "score_mean": self.mean(),
            "score_min": self.lowest,
            "score_max": self.highest,
            "score_std": self.deviation(),
            "score_count": self.count,
        }


def measure(labels: NDArray[np.int32], scores: NDArray[np.float32], components: int) -> Statistics:
    """Sum the scores of each component.

    Args:
        labels: Framed labels (y + 2, x + 2), see `label_components`.
        scores: (y, x); finite wherever there is a label.
        components: How many there are.

    Raises:
        InvalidInput: A score is too large to be summed exactly.
    """
    found = Statistics(*_measure(labels, scores, components))
    if components and max(-found.lowest.min(), found.highest.max()) >= LIMIT:
        raise InvalidInput(
            f"A score of {found.highest.max():g} is too large for statistics, which take scores"
            f" below {LIMIT}.",
            suggestion="Vectorize probabilities, or leave stats out of vectorize_config.",
            field="vectorize_config.stats",
        )
    return found


@kernel
def _measure(
    labels: NDArray[np.int32], scores: NDArray[np.float32], components: int
) -> tuple[
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.float32],
    NDArray[np.float32],
]:
    count = np.zeros(components, np.int64)
    total = np.zeros(components, np.int64)
    low = np.zeros(components, np.int64)
    high = np.zeros(components, np.int64)
    lowest = np.full(components, np.inf, np.float32)
    highest = np.full(components, -np.inf, np.float32)
    for y in range(scores.shape[0]):
        for x in range(scores.shape[1]):
            item = labels[y + 1, x + 1] - 1
            if item < 0:
                continue
            score = scores[y, x]
            lowest[item] = min(lowest[item], score)
            highest[item] = max(highest[item], score)
            fixed = np.int64(np.rint(np.float64(score) * SCALE))
            square = fixed * fixed
            count[item] += 1
            total[item] += fixed
            low[item] += square & (SCALE - 1)
            high[item] += square >> SCALE_BITS
    return count, total, low, high, lowest, highest
