"""The composite: each pixel's median over the scenes that have a value there.

Values are sorted per pixel by a network of compare-exchanges (Batcher's odd-even merge, Knuth,
TAOCP 3, 5.2.2 M) that runs over whole image rows, so the compiler turns it into vector minima and
maxima: an order of magnitude faster than sorting pixel by pixel.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel


def median(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median (y, x) of a stack (scene, y, x), NaN being no value.

    An even number of values gives the mean of the two in the middle; none gives NaN. Equal to
    `numpy.nanmedian` to the bit for finite values.
    """
    count, height, width = stack.shape
    if count == 0:
        return np.full((height, width), np.nan, np.float32)
    if count == 1:
        return np.array(stack[0])
    out = np.empty((height, width), np.float32)
    _median_rows(stack, sorting_network(count), out)
    return out


@kernel
def drop_missing(stack: NDArray[np.float32], valid: NDArray[np.uint8]) -> None:
    """Set `valid` (scene, y, x) to 0 where `stack` has no value."""
    count, height, width = stack.shape
    for i in range(count):
        for y in range(height):
            for x in range(width):
                value = stack[i, y, x]
                valid[i, y, x] &= value == value  # noqa: PLR0124 - NaN


@lru_cache(maxsize=64)
def sorting_network(count: int) -> NDArray[np.int64]:
    """Return the pairs (i, j), i < j, whose compare-exchanges in turn sort `count` values."""
    pairs = []
    span = 1
    while span < count:
        step = span
        while step >= 1:
            for start in range(step % span, count - step, 2 * step):
                pairs += [
                    (low, low + step)
                    for low in range(start, min(start + step, count - step))
                    if low // (2 * span) == (low + step) // (2 * span)
                ]
            step //= 2
        span *= 2
    return np.array(pairs, np.int64).reshape(-1, 2)


@kernel
def _median_rows(
    stack: NDArray[np.float32], pairs: NDArray[np.int64], out: NDArray[np.float32]
) -> None:
    count, height, width = stack.shape
    ordered = np.empty((count, width), np.float32)
    valid = np.empty(width, np.int64)
    infinity = np.float32(np.inf)
    half = np.float32(0.5)
    for y in range(height):
        valid[:] = 0
        for i in range(count):
            for x in range(width):
                value = stack[i, y, x]
                good = value == value  # noqa: PLR0124 - false for NaN alone
                valid[x] += 1 if good else 0
                ordered[i, x] = value if good else infinity
        for p in range(len(pairs)):
            low, high = ordered[pairs[p, 0]], ordered[pairs[p, 1]]
            for x in range(width):
                a, b = low[x], high[x]
                low[x] = min(a, b)
                high[x] = max(a, b)
        for x in range(width):
            k = valid[x]
            if k == 0:
                out[y, x] = np.float32(np.nan)
            elif k % 2:
                out[y, x] = ordered[k // 2, x]
            else:
                out[y, x] = (ordered[k // 2 - 1, x] + ordered[k // 2, x]) * half
