"""The resampling of overviews: the mean of two by two pixels, without those that have no value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel


def halve(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return pixels (y, x) at half the resolution; odd sides are rounded up.

    A pixel of the result is the mean of those of its four (two, one at an odd edge) that have a
    value, NaN where none has. The sum is taken in float64 and the mean rounded once.
    """
    height, width = pixels.shape
    out = np.empty((-(-height // 2), -(-width // 2)), np.float32)
    _halve(np.ascontiguousarray(pixels, np.float32), out)
    return out


@kernel
def _halve(source: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    height, width = source.shape
    for y in range(out.shape[0]):
        bottom = min(2 * y + 2, height)
        for x in range(out.shape[1]):
            right = min(2 * x + 2, width)
            total, count = 0.0, 0
            for row in range(2 * y, bottom):
                for column in range(2 * x, right):
                    value = source[row, column]
                    if value == value:  # noqa: PLR0124 - not NaN
                        total += value
                        count += 1
            out[y, x] = total / count if count else np.nan
