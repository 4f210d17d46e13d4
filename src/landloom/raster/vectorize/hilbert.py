"""Places along a Hilbert curve: neighbours in the file are neighbours on the ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel

CELL_BITS = 10
"""A cell of the curve has 2**CELL_BITS pixels a side: 1024 px, some 8,000 fields at 10 m."""


def curve_order(shape_yx: tuple[int, int]) -> int:
    """Return the order of the curve that passes every pixel of a raster."""
    return max(CELL_BITS, max(shape_yx).bit_length())


@kernel
def hilbert_index(y: NDArray[np.int64], x: NDArray[np.int64], order: int) -> NDArray[np.uint64]:
    """Return where each (y, x), both in [0, 2**order), lies along the curve of that order.

    The classic quadrant-by-quadrant walk (Warren, "Hacker's Delight", 2nd ed., chapter 16).
    """
    out = np.empty(y.size, np.uint64)
    for item in range(y.size):
        cx, cy, place = x[item], y[item], 0
        side = 1 << (order - 1)
        while side > 0:
            right, upper = (cx & side) != 0, (cy & side) != 0
            place += side * side * ((3 if right else 0) ^ (1 if upper else 0))
            if not upper:
                if right:
                    cx, cy = side - 1 - (cx & (side - 1)), side - 1 - (cy & (side - 1))
                cx, cy = cy, cx
            side >>= 1
        out[item] = place
    return out


def cell_of(places: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the number of the cell of 2**CELL_BITS px that each place of a curve lies in."""
    return places >> np.uint64(2 * CELL_BITS)
