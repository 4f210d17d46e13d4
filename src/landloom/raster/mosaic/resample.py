"""Resampling of one row: where its pixels lie in a source, and what the source says there.

Work goes in passes over a row: coordinates become indices and weights in vector code, a scalar loop
gathers the neighbours of each pixel, vector code again makes values of them. Places and weights
are the same for all scenes on one grid, so they are computed once for all of them. As in GDAL's
warp, a pixel whose centre lies outside the source or in a source pixel without data has no value,
the weights of missing neighbours go to the others, and integers are rounded half up.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel
from landloom.raster.mosaic.lattice import Lattice, place_row

NEAREST, BILINEAR, CUBIC = 0, 1, 2

REACH = (0, 1, 2)
"""Source pixels beyond those that hold a coordinate that each method looks at."""

OUTSIDE, EDGE, INNER = 0, 1, 2
"""Kinds of pixels: not in the source; some neighbours are not; all neighbours are."""

HALF = 0.5
"""The weight from which on a point lies in the second of two neighbouring pixels."""

GROUP_PX = 32
"""Pixels that are gathered or spared together."""

EDGE_PX = 1e-9
"""A coordinate this far outside a raster still lies on its edge: noise of the arithmetic."""

TIE_PX = 1e-10
"""A centre this close before the edge of two source pixels belongs to the second."""


@kernel
def locate_row(  # noqa: PLR0913, PLR0917 - a compiled loop takes scalars and arrays, no objects
    method: int,
    lattice: Lattice,
    place_yx: tuple[int, int],
    full_yx: tuple[int, int],
    part: tuple[int, int, int, int],
    at: NDArray[np.float64],
    index: NDArray[np.uint32],
    weights: NDArray[np.float32],
    kind: NDArray[np.uint8],
) -> int:
    """Find the source pixels of one output row; return 1 if all are INNER, else 0.

    Args:
        method: NEAREST, BILINEAR or CUBIC.
        lattice: Around the row.
        place_yx: First pixel of the row, counted from the first node.
        full_yx: Shape of the whole source.
        part: First row, first column, height, width of the part that was read.
        at: Filled with source rows and columns, (2, x).
        index: Filled with the first neighbour's index in the part, (x).
        weights: Filled with the weights of the second row and column, (2, x).
        kind: Filled with OUTSIDE, EDGE or INNER, (x).
    """
    place_row(lattice, place_yx, at[1], at[0])
    shift = TIE_PX if method == NEAREST else -HALF
    before = 1.0 if method == CUBIC else 0.0
    after = 0.0 if method == NEAREST else before + 1.0
    # Most rows lie wholly inside, and then plain arithmetic is all there is to do.
    if _all_inner(at, full_yx, before - shift, after + shift):
        _place_inner(at, part, shift, before, index, weights)
        kind[:] = INNER
        return 1
    _place_any(method == NEAREST, at, full_yx, part, shift, before, after, index, weights, kind)
    return 0


@kernel
def nearest_line(lattice: Lattice, place: int) -> int:
    """Return the source row that an output row looks at, where the lattice is straight.

    Args:
        lattice: The first node of each of its rows stands for all of the row.
        place: The output row, counted from the first node.
    """
    at = np.empty((2, 1))
    place_row(lattice, (place, 0), at[1], at[0])
    return int(np.floor(at[0, 0] + TIE_PX))


@kernel
def _all_inner(
    at: NDArray[np.float64], full_yx: tuple[int, int], low: float, margin: float
) -> np.uint8:
    """Return 1 if all pixels of a row have all their neighbours in the source, else 0."""
    at_y, at_x = at[0], at[1]
    height, width = float(full_yx[0]), float(full_yx[1])
    all_inner = np.uint8(1)
    for x in range(len(at_x)):
        sx, sy = at_x[x], at_y[x]
        here = (sx >= low) & (sy >= low) & (sx < width - margin) & (sy < height - margin)
        all_inner &= np.uint8(here)
    return all_inner


@kernel
def _place_inner(
    at: NDArray[np.float64],
    part: tuple[int, int, int, int],
    shift: float,
    before: float,
    index: NDArray[np.uint32],
    weights: NDArray[np.float32],
) -> None:
    """Fill indices and weights of a row whose pixels are all INNER."""
    at_y, at_x, wy, wx = at[0], at[1], weights[0], weights[1]
    y0, x0, stride = float(part[0]), float(part[1]), float(part[3])
    for x in range(len(at_x)):
        fx, fy = at_x[x] + shift, at_y[x] + shift
        left, top = np.floor(fx), np.floor(fy)
        wx[x], wy[x] = np.float32(fx - left), np.float32(fy - top)
        place = (top - before - y0) * stride + (left - before - x0)
        index[x] = np.uint32(np.int32(place))


@kernel
def _place_any(  # noqa: PLR0913, PLR0917 - as above
    nearest: bool,  # noqa: FBT001 - as above
    at: NDArray[np.float64],
    full_yx: tuple[int, int],
    part: tuple[int, int, int, int],
    shift: float,
    before: float,
    after: float,
    index: NDArray[np.uint32],
    weights: NDArray[np.float32],
    kind: NDArray[np.uint8],
) -> None:
    """Fill indices, weights and kinds of a row that leaves the source somewhere."""
    at_y, at_x, wy, wx = at[0], at[1], weights[0], weights[1]
    height, width = float(full_yx[0]), float(full_yx[1])
    y0, x0, stride = float(part[0]), float(part[1]), float(part[3])
    last_y = max(0.0, float(part[2]) - 1.0 - before - after)
    last_x = max(0.0, float(part[3]) - 1.0 - before - after)
    for x in range(len(at_x)):
        sx, sy = at_x[x], at_y[x]
        inside = (
            (sx > -EDGE_PX) & (sy > -EDGE_PX) & (sx < width + EDGE_PX) & (sy < height + EDGE_PX)
        )
        left = np.floor(sx + shift) if inside else 0.0
        top = np.floor(sy + shift) if inside else 0.0
        wx[x] = np.float32(sx + shift - left)
        wy[x] = np.float32(sy + shift - top)
        if nearest:
            left, top = min(max(left, 0.0), width - 1.0), min(max(top, 0.0), height - 1.0)
        inner = (
            inside
            & (left >= before)
            & (top >= before)
            & (left + after < width)
            & (top + after < height)
        )
        kind[x] = np.uint8(INNER) if inner else (np.uint8(EDGE) if inside else np.uint8(OUTSIDE))
        # Kept within the part for all kinds of pixels, so that a gather may always run.
        column = min(max(left - before - x0, 0.0), last_x)
        row = min(max(top - before - y0, 0.0), last_y)
        index[x] = np.uint32(np.int64(row * stride + column))


@kernel
def nearest_row(
    part: NDArray[Any],
    index: NDArray[np.uint32],
    kind: NDArray[np.uint8],
    good: NDArray[np.uint8],
    values: NDArray[Any],
) -> None:
    """Fill `values` from the containing pixels; clear `good` outside the source."""
    for x in range(len(values)):
        if good[x]:
            values[x] = part[index[x]]
    for x in range(len(values)):
        state, where = good[x], kind[x]
        good[x] = state if where != OUTSIDE else np.uint8(0)


@kernel
def gather_pairs(
    pairs: NDArray[Any],
    stride: int,
    index: NDArray[np.uint32],
    good: NDArray[np.uint8],
    corner_pairs: NDArray[Any],
) -> None:
    """Gather the four neighbours of each pixel that is wanted, two by two.

    Whole groups of pixels are gathered or spared: a test for each would take as long as it spares.

    Args:
        pairs: For each pixel that was read, it and the next as one number.
        stride: Length of the rows that were read.
        index: First neighbour of each pixel.
        good: Which pixels are wanted.
        corner_pairs: Filled with the upper and the lower two neighbours, (2, x).
    """
    upper, lower, below = corner_pairs[0], corner_pairs[1], np.uint32(stride)
    length = len(index)
    for start in range(0, length, GROUP_PX):
        end = min(start + GROUP_PX, length)
        some = np.uint8(0)
        for x in range(start, end):
            some |= good[x]
        if some:
            for x in range(start, end):
                at = index[x]
                upper[x] = pairs[at]
                lower[x] = pairs[at + below]


@kernel
def bilinear_row(
    corners: NDArray[Any],
    weights: NDArray[np.float32],
    kind: NDArray[np.uint8],
    missing: np.float32,
    inner: bool,  # noqa: FBT001 - a compiled loop
    good: NDArray[np.uint8],
    values: NDArray[np.float32],
) -> int:
    """Fill `values` where all four neighbours are there; return 1 if some want more care, else 0.

    Args:
        corners: What `gather_pairs` gathered: left and right neighbour in turn, (2, 2 x).
        weights: Of the second row and column, (2, x).
        kind: OUTSIDE, EDGE or INNER.
        missing: Value of pixels without data; NaN for none but NaN.
        inner: Whether all are INNER.
        good: Which pixels are wanted; 0 is stored where there is no value, 2 where one or more
            neighbours are missing and `some_of_four` must say.
        values: Filled in place.
    """
    upper, lower, wy, wx = corners[0], corners[1], weights[0], weights[1]
    holes = np.uint8(0)
    for x in range(len(values)):
        a, b = np.float32(upper[2 * x]), np.float32(upper[2 * x + 1])
        c, d = np.float32(lower[2 * x]), np.float32(lower[2 * x + 1])
        above, below = a + (b - a) * wx[x], c + (d - c) * wx[x]
        value = above + (below - above) * wy[x]
        values[x] = value
        hole = (a == missing) | (b == missing) | (c == missing) | (d == missing)
        holes |= np.uint8(hole | (value != value)) & good[x]  # noqa: PLR0124 - NaN
    if inner and not holes:
        return 0
    careful = 0
    for x in range(len(values)):
        if good[x]:
            a, b = np.float32(upper[2 * x]), np.float32(upper[2 * x + 1])
            c, d = np.float32(lower[2 * x]), np.float32(lower[2 * x + 1])
            hole = (a == missing) | (b == missing) | (c == missing) | (d == missing)
            whole = kind[x] == INNER and not hole and values[x] == values[x]
            good[x] = 0 if kind[x] == OUTSIDE else (1 if whole else 2)
            careful |= good[x] >> 1
    return careful


@kernel
def take_care(
    part: NDArray[Any],
    corner: tuple[int, int],
    stride: int,
    full: tuple[int, int],
    at: NDArray[np.float64],
    missing: np.float32,
    good: NDArray[np.uint8],
    exact: NDArray[np.float32],
) -> None:
    """Interpolate those pixels of which some neighbours are missing."""
    for x in range(len(good)):
        if good[x] == 2:  # noqa: PLR2004 - as `bilinear_row` says
            value = some_of_four(part, corner, stride, full, (at[0, x], at[1, x]), missing)
            good[x] = 1 if value == value else 0  # noqa: PLR0124 - NaN
            exact[x] = value


@kernel
def some_of_four(
    part: NDArray[Any],
    corner_yx: tuple[int, int],
    stride: int,
    full_yx: tuple[int, int],
    at_yx: tuple[float, float],
    missing: np.float32,
) -> float:
    """Return the bilinear value of those neighbours that are there; NaN where the own one is not.

    Args:
        part: The pixels that were read, one row after another.
        corner_yx: First row and column of what was read.
        stride: Length of its rows.
        full_yx: Shape of the whole source.
        at_yx: Source row and column of the pixel's centre.
        missing: Value of pixels without data.
    """
    top, left = math.floor(at_yx[0] - HALF), math.floor(at_yx[1] - HALF)
    wy, wx = at_yx[0] - HALF - top, at_yx[1] - HALF - left
    row, column = top + (1 if wy >= HALF else 0), left + (1 if wx >= HALF else 0)
    row, column = min(max(row, 0), full_yx[0] - 1), min(max(column, 0), full_yx[1] - 1)
    here = np.float32(part[(row - corner_yx[0]) * stride + column - corner_yx[1]])
    if here == missing or here != here:  # noqa: PLR0124 - NaN
        return math.nan
    total, sum_weights = 0.0, 0.0
    for dy in range(2):
        row = top + dy
        for dx in range(2):
            column = left + dx
            if 0 <= row < full_yx[0] and 0 <= column < full_yx[1]:
                value = np.float32(part[(row - corner_yx[0]) * stride + column - corner_yx[1]])
                if value != missing and value == value:  # noqa: PLR0124 - NaN
                    weight = (wy if dy else 1.0 - wy) * (wx if dx else 1.0 - wx)
                    total += weight * float(value)
                    sum_weights += weight
    return total / sum_weights


@kernel
def cubic_row(
    part: NDArray[Any],
    stride: int,
    index: NDArray[np.uint32],
    weights: NDArray[np.float32],
    kind: NDArray[np.uint8],
    missing: np.float32,
    good: NDArray[np.uint8],
    values: NDArray[np.float32],
) -> int:
    """Fill `values` by cubic convolution (a = -1/2) of sixteen neighbours; see `bilinear_row`.

    Where one of the sixteen is missing or outside, the value is the bilinear one, as in GDAL.
    """
    wy, wx = weights[0], weights[1]
    careful = 0
    for x in range(len(values)):
        if good[x] == 0 or kind[x] == OUTSIDE:
            good[x] = 0
            continue
        value = np.float32(np.nan)
        if kind[x] == INNER:
            value = _sixteen(part, int(index[x]), stride, wy[x], wx[x], missing)
        values[x] = value
        if value != value:  # noqa: PLR0124 - NaN
            good[x] = 2
            careful += 1
    return careful


@kernel
def _sixteen(
    part: NDArray[Any], first: int, stride: int, wy: np.float32, wx: np.float32, missing: np.float32
) -> np.float32:
    """Return the cubic value, or NaN where a neighbour is missing."""
    x0, x1, x2, x3 = _cubic_weights(wx)
    total = np.float32(0)
    for dy, weight in enumerate(_cubic_weights(wy)):
        at = np.uint64(first + dy * stride)
        a, b = np.float32(part[at]), np.float32(part[at + np.uint64(1)])
        c, d = np.float32(part[at + np.uint64(2)]), np.float32(part[at + np.uint64(3)])
        if (a == missing) | (b == missing) | (c == missing) | (d == missing):
            return np.float32(np.nan)
        total += (a * x0 + b * x1 + c * x2 + d * x3) * weight
    return total


@kernel
def _cubic_weights(t: np.float32) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Return the weights of four neighbours, a point lying `t` after the second of them.

    Keys, Cubic convolution interpolation for digital image processing, 1981, with a = -1/2.
    """
    half = np.float32(0.5)
    square, cube = t * t, t * t * t
    return (
        half * (-cube + np.float32(2) * square - t),
        half * (np.float32(3) * cube - np.float32(5) * square + np.float32(2)),
        half * (np.float32(-3) * cube + np.float32(4) * square + t),
        half * (cube - square),
    )
