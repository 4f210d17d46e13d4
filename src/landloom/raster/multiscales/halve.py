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
        upper = source[2 * y]
        # At an odd edge the last row or column stands in for the one that is not there, uncounted.
        lower, rows = (source[2 * y + 1], 1) if 2 * y + 1 < height else (upper, 0)
        for x in range(width // 2):
            a, b = np.float64(upper[2 * x]), np.float64(upper[2 * x + 1])
            c, d = np.float64(lower[2 * x]), np.float64(lower[2 * x + 1])
            # No branches, so that LLVM takes several pixels at a time.
            first, second = a == a, b == b  # noqa: PLR0124 - not NaN
            third, fourth = (c == c) * rows, (d == d) * rows  # noqa: PLR0124
            total = (a if first else 0.0) + (b if second else 0.0)
            total += (c if third else 0.0) + (d if fourth else 0.0)
            out[y, x] = total / (first + second + third + fourth)
        if width % 2:
            a, c = np.float64(upper[-1]), np.float64(lower[-1])
            first, third = a == a, (c == c) * rows  # noqa: PLR0124
            total = (a if first else 0.0) + (c if third else 0.0)
            out[y, -1] = total / (first + third)
