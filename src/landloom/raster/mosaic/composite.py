"""The composite: what becomes of the scenes' values of a pixel, row by row.

Resampling, masking and reduction are one loop over the output's rows, so what lies between them
never leaves the processor's cache, and integers stay integers: twice as many fit into a vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel
from landloom.raster.mosaic.median import exchange_rows, stand_in, store_median, store_row
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
    choose_row,
    clear_bits,
    cut_row,
    drop_missing,
    finish_row,
    note_filled,
    settle_row,
    shift_row,
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
    Pixels,
    Tables,
    aligned_row,
    lattice_of,
    locate,
    new_places,
)


@kernel
def composite_window(  # noqa: PLR0913, PLR0917 - a compiled loop takes scalars and arrays, no objects
    pixels: Pixels,
    tables: Tables,
    window: tuple[int, int, int, int],
    method: int,
    last: bool,  # noqa: FBT001 - as above
    counted: bool,  # noqa: FBT001 - as above
    keep: NDArray[np.uint8],
    valid: NDArray[np.uint8],
    filled: NDArray[np.bool_],
    network: NDArray[np.int64],
    ends: NDArray[Any],
    none: Any,
    out: NDArray[Any],
) -> None:
    """Reduce all sources over a window of the output.

    Args:
        pixels: Of all sources.
        tables: Of all sources.
        window: First row, first column, height and width in the array.
        method: Of resampling: NEAREST, BILINEAR or CUBIC.
        last: Whether the last source with a value counts, not the median.
        counted: Whether `valid` is kept.
        keep: Bit b of byte p of a pixel tells whether source 8 p + b may be looked at there,
            (p, y, x) over the array.
        valid: Of the same shape; the bits of sources without a value are cleared.
        filled: (y, x) over the array; cleared where nothing has a value.
        network: Of the median, see `median_network`.
        ends: The least and the greatest number of the pixels' type.
        none: What is stored where there is no value; where it is 0, a value that is 0 becomes 1.
        out: Filled, (part, y, x): the window cut into parts side by side, equally wide.
    """
    top, left, height, width = window
    count, kind = len(tables.sources), pixels.single.dtype
    rows, chosen = np.empty((count, width), kind), np.empty(width, kind)
    known, good = np.empty(width, np.uint16), np.empty(width, np.uint8)
    exact, places = np.empty(width, np.float32), new_places(len(tables.grids), width)
    line = np.empty(width, out.dtype)
    for y in range(height):
        known[:] = 0
        for turn in range(count):
            i = count - 1 - turn if last else turn
            plane, bit = tables.sources[i, BIT] // 8, np.uint8(1 << (tables.sources[i, BIT] % 8))
            there = keep[plane, top + y, left : left + width]
            begin = _whole_row(tables, i, (top + y, left), width)
            if begin >= 0 and not (last or counted):
                missing = kind.type(tables.values[i, MISSING])
                take_row(pixels.single[begin:], missing, there, bit, ends, turn, known, rows[i])
            elif not wanted_row(there, bit, known, last and not counted, good):
                stand_in(ends, turn, known, rows[i])
            else:
                _read_row(pixels, tables, i, (top, left, y), method, places, good, exact, rows[i])
                if last:
                    choose_row(good, known, rows[i], chosen)
                else:
                    settle_row(good, ends, turn, known, rows[i])
                if counted:
                    clear_bits(good, bit, valid[plane, top + y, left : left + width])
        if last:
            store_row(known, chosen, chosen, none, line)
        else:
            exchange_rows(network, rows)
            store_median(known, rows, none, line)
        cut_row(line, y, out)
        note_filled(known, filled[top + y, left : left + width])


@kernel
def _whole_row(tables: Tables, i: int, at: tuple[int, int], width: int) -> int:
    """Return where a row begins among the pixels if all of it is there for plain taking, else -1.

    It is on the output's lattice, lies wholly in what was read, and has a value for missing pixels
    and no offset.
    """
    source, values = tables.sources[i], tables.values[i]
    grid = tables.grids[source[GRID]]
    row, first = at[0] - source[SHIFT_Y], at[1] - source[SHIFT_X]
    inside = (
        (row >= 0) & (row < grid[PART_HEIGHT]) & (first >= 0) & (first + width <= grid[PART_WIDTH])
    )
    plain = (values[OFFSET] == 0) & (values[MISSING] == values[MISSING])
    if grid[ALIGNED] and inside and plain:
        return int(source[BASE] + row * grid[PART_WIDTH] + first)
    return -1


@kernel
def _read_row(  # noqa: PLR0913, PLR0917 - as above
    pixels: Pixels,
    tables: Tables,
    i: int,
    at: tuple[int, int, int],
    method: int,
    places: Any,
    good: NDArray[np.uint8],
    exact: NDArray[np.float32],
    row: NDArray[Any],
) -> None:
    """Fill `row` with a source's values on the output's grid; clear `good` where it has none.

    Args:
        pixels: Of all sources.
        tables: Of all sources.
        i: Which source.
        at: First row and column of the window in the array, and which of its rows this is.
        method: Of resampling.
        places: See `new_places`.
        good: Which pixels are wanted, (x).
        exact: Scratch, (x).
        row: Filled, (x).
    """
    source, values, number = tables.sources[i], tables.values[i], tables.sources[i, GRID]
    grid, (top, left, y) = tables.grids[number], at
    if grid[ALIGNED]:
        aligned_row(pixels.single, source, grid, (top + y, left), good, row)
    else:
        node = tables.node_yx[0] + top + y, tables.node_yx[1] + left
        locate(method, number, grid, lattice_of(tables, number), node, y, places)
        if method != NEAREST:
            _interpolate_row(method, pixels, source, grid, values, places, good, exact)
            finish_row(exact, values, row)
            return
        part = pixels.single[source[BASE] :]
        nearest_row(part, places[1][number], places[3][number], good, row)
    drop_missing(values[MISSING], good, row)
    shift_row(values[OFFSET], row)


@kernel
def _interpolate_row(
    method: int,
    pixels: Pixels,
    source: NDArray[np.int64],
    grid: NDArray[np.int64],
    values: NDArray[np.float64],
    places: Any,
    good: NDArray[np.uint8],
    exact: NDArray[np.float32],
) -> None:
    """Fill `exact` with one row of a source, unrounded; clear `good` where it has no value."""
    number, base, stride = source[GRID], source[BASE], grid[PART_WIDTH]
    part, missing = pixels.single[base:], np.float32(values[MISSING])
    at, index, weights = places[0][number], places[1][number], places[2][number]
    kind = places[3][number]
    if method == BILINEAR:
        gather_pairs(pixels.pairs[base:], stride, index, good, pixels.corner_pairs)
        inner = places[4][number, 1] == 1
        careful = bilinear_row(pixels.corners, weights, kind, missing, inner, good, exact)
    else:
        careful = cubic_row(part, stride, index, weights, kind, missing, good, exact)
    if careful:
        corner, full = (grid[PART_Y], grid[PART_X]), (grid[FULL_HEIGHT], grid[FULL_WIDTH])
        take_care(part, corner, stride, full, at, missing, good, exact)
