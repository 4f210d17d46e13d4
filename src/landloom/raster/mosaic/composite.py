"""The composite: what becomes of the scenes' values of a pixel, row by row.

Resampling, masking and reduction are one loop over the output's rows, so what lies between them
never leaves the processor's cache, and integers stay integers: twice as many fit into a vector.
Medians are taken by a network of compare-exchanges (Batcher's odd-even merge, Knuth, TAOCP 3,
5.2.2 M) that runs over whole rows, so the compiler turns it into vector minima and maxima: an order
of magnitude faster than sorting pixel by pixel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel
from landloom.raster.mosaic.resample import (
    BILINEAR,
    NEAREST,
    bilinear_row,
    cubic_row,
    gather_pairs,
    nearest_row,
    take_care,
)
from landloom.raster.mosaic.rows import (
    clear_bits,
    drop_missing,
    finish_row,
    middle_rows,
    note_filled,
    settle_row,
    shift_row,
    sort_rows,
    store_row,
    take_row,
    wanted_row,
)
from landloom.raster.mosaic.tables import (
    ALIGNED,
    BASE,
    BIT,
    FULL_HEIGHT,
    FULL_WIDTH,
    GRID,
    MISSING,
    OFFSET,
    PART_HEIGHT,
    PART_WIDTH,
    PART_X,
    PART_Y,
    SHIFT_X,
    SHIFT_Y,
    aligned_row,
    locate,
    new_places,
)


@kernel
def composite_window(  # noqa: PLR0913, PLR0917 - a compiled loop takes scalars and arrays, no objects
    pixels: NDArray[Any],
    pairs_of: NDArray[Any],
    corners: NDArray[Any],
    corner_pairs: NDArray[Any],
    sources: NDArray[np.int64],
    values: NDArray[np.float64],
    grids: NDArray[np.int64],
    columns: NDArray[np.float64],
    rows: NDArray[np.float64],
    node_yx: tuple[int, int],
    window: tuple[int, int, int, int],
    method: int,
    last: bool,  # noqa: FBT001 - as above
    counted: bool,  # noqa: FBT001 - as above
    keep: NDArray[np.uint8],
    valid: NDArray[np.uint8],
    filled: NDArray[np.bool_],
    network: NDArray[np.int64],
    worst: Any,
    none: Any,
    out: NDArray[Any],
) -> None:
    """Reduce all sources over a window of the output.

    Args:
        pixels: The sources' pixels, one after another.
        pairs_of: For each pixel it and the next as one number: see `pairs_of`.
        corners: Scratch for interpolation, (2, twice the width), of the type of `pixels`.
        corner_pairs: The same memory as pairs, (2, width).
        sources: (source, SOURCE_COLUMNS).
        values: (source, VALUE_COLUMNS).
        grids: (grid, GRID_COLUMNS).
        columns: Source columns of the lattice nodes, (grid, node row, node column).
        rows: Source rows of the lattice nodes.
        node_yx: Where the array's pixel (0, 0) lies, counted from the first node.
        window: First row, first column, height and width in the array.
        method: Of resampling: NEAREST, BILINEAR or CUBIC.
        last: Whether the last source with a value counts, not the median.
        counted: Whether `valid` is kept.
        keep: Bit b of byte p of a pixel tells whether source 8 p + b may be looked at there,
            (p, y, x) over the array.
        valid: Of the same shape; the bits of sources without a value are cleared.
        filled: (y, x) over the array; cleared where nothing has a value.
        network: The sorting network.
        worst: What sorts last, of the type of `pixels`.
        none: What is stored where there is no value; where it is 0, a value that is 0 becomes 1.
        out: Filled, (y, x) of the window.
    """
    top, left, height, width = window
    count = len(sources)
    ordered = np.empty((count, width), pixels.dtype)
    low, high = np.empty(width, pixels.dtype), np.empty(width, pixels.dtype)
    known, good = np.empty(width, np.uint16), np.empty(width, np.uint8)
    exact, places = np.empty(width, np.float32), new_places(len(grids), width)
    for y in range(height):
        known[:] = 0
        for turn in range(count):
            i = count - 1 - turn if last else turn
            plane, bit = sources[i, BIT] // 8, np.uint8(1 << (sources[i, BIT] % 8))
            there = keep[plane, top + y, left : left + width]
            grid = sources[i, GRID]
            begin = _whole_row(sources[i], grids[grid], values[i], (top + y, left), width)
            if begin >= 0 and not (last or counted):
                missing = pixels.dtype.type(values[i, MISSING])
                take_row(pixels[begin:], missing, there, bit, worst, known, ordered[i])
                continue
            if not wanted_row(there, bit, known, last and not counted, good):
                ordered[i, :] = worst
                continue
            if grids[grid, ALIGNED]:
                aligned_row(pixels, sources[i], grids[grid], (top + y, left), good, ordered[i])
            else:
                at = (node_yx[0] + top + y, node_yx[1] + left)
                locate(method, grid, grids[grid], columns[grid], rows[grid], at, y, places)
            if grids[grid, ALIGNED] or method == NEAREST:
                if not grids[grid, ALIGNED]:
                    part = pixels[sources[i, BASE] :]
                    nearest_row(part, places[1][grid], places[3][grid], good, ordered[i])
                drop_missing(values[i, MISSING], good, ordered[i])
                shift_row(values[i, OFFSET], ordered[i])
            else:
                _interpolated_row(
                    method, pixels, pairs_of, corners, corner_pairs, sources[i, BASE], grid,
                    grids[grid], values[i], places, good, exact,
                )  # fmt: skip
                finish_row(exact, values[i], ordered[i])
            settle_row(good, worst, known, ordered[i], last, low)
            if counted:
                clear_bits(good, bit, valid[plane, top + y, left : left + width])
        if not last:
            sort_rows(network, known, ordered)
            middle_rows(known, ordered, low, high)
        store_row(known, low, low if last else high, none, out[y])
        note_filled(known, filled[top + y, left : left + width])


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


def pairs_of(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return each pixel and the next as one number of twice the size, in the same memory.

    Two neighbours are then gathered by one load. The numbers overlap and are not aligned.
    """
    wide = np.dtype(f"u{2 * pixels.dtype.itemsize}")
    return np.ndarray((len(pixels) - 1,), wide, pixels, strides=(pixels.dtype.itemsize,))


@kernel
def _whole_row(
    source: NDArray[np.int64],
    grid: NDArray[np.int64],
    values: NDArray[np.float64],
    at: tuple[int, int],
    width: int,
) -> int:
    """Return where a row begins among the pixels if all of it is there for plain taking, else -1.

    It is on the output's lattice, lies wholly in what was read, and has a value for missing pixels
    and no offset.
    """
    row, first = at[0] - source[SHIFT_Y], at[1] - source[SHIFT_X]
    inside = (
        (row >= 0) & (row < grid[PART_HEIGHT]) & (first >= 0) & (first + width <= grid[PART_WIDTH])
    )
    plain = (values[OFFSET] == 0) & (values[MISSING] == values[MISSING])
    if grid[ALIGNED] and inside and plain:
        return int(source[BASE] + row * grid[PART_WIDTH] + first)
    return -1


@kernel
def _interpolated_row(  # noqa: PLR0913, PLR0917 - as above
    method: int,
    pixels: NDArray[Any],
    pairs: NDArray[Any],
    corners: NDArray[Any],
    corner_pairs: NDArray[Any],
    base: int,
    number: int,
    grid: NDArray[np.int64],
    values: NDArray[np.float64],
    places: Any,
    good: NDArray[np.uint8],
    exact: NDArray[np.float32],
) -> None:
    """Fill `exact` with one row of a source, unrounded; clear `good` where it has no value."""
    part, stride, missing = pixels[base:], grid[PART_WIDTH], np.float32(values[MISSING])
    at, index, weights = places[0][number], places[1][number], places[2][number]
    kind = places[3][number]
    if method == BILINEAR:
        gather_pairs(pairs[base:], stride, index, good, corner_pairs)
        inner = places[4][number, 1] == 1
        careful = bilinear_row(corners, weights, kind, missing, inner, good, exact)
    else:
        careful = cubic_row(part, stride, index, weights, kind, missing, good, exact)
    if careful:
        corner, full = (grid[PART_Y], grid[PART_X]), (grid[FULL_HEIGHT], grid[FULL_WIDTH])
        take_care(part, corner, stride, full, at, missing, good, exact)
