"""The masks: which sources may be looked at where, a bit for each source and pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel
from landloom.raster.mosaic.lattice import Lattice, is_straight
from landloom.raster.mosaic.resample import NEAREST, nearest_line
from landloom.raster.mosaic.rows import gather_bits, repeat_bits, set_bits
from landloom.raster.mosaic.tables import (
    ALIGNED,
    BASE,
    BIT,
    GRID,
    PART_HEIGHT,
    PART_WIDTH,
    PART_Y,
    Tables,
    aligned_row,
    lattice_of,
    locate,
    new_places,
)

NO_ROW = -1
"""Stands for the row of a source where there is none, or more than one."""


@kernel
def mask_window(
    pixels: NDArray[Any],
    tables: Tables,
    window: tuple[int, int, int, int],
    keep: NDArray[np.uint8],
    kept: NDArray[np.bool_],
) -> None:
    """Set the bit of each source in `keep` where its nearest pixel is not 0.

    Sources on one grid are packed first, a bit each, so that all of them are gathered at once.

    Args:
        pixels: What `choose_classes` made of classes, one source after another.
        tables: Of all sources.
        window: As in `composite_window`.
        keep: As in `composite_window`; its bits are clear before.
        kept: Set, by bit, where at least one pixel stays.
    """
    top, left, height, width = window
    at = (tables.node_yx[0] + top, tables.node_yx[1] + left)
    for number in range(len(tables.grids)):
        grid = tables.grids[number]
        for plane in range(len(keep)):
            target = keep[plane, top : top + height, left : left + width]
            if grid[ALIGNED]:
                _mask_aligned(
                    pixels, tables.sources, number, grid, plane, (top, left), target, kept
                )
                continue
            packed, bits = _packed(pixels, tables.sources, number, grid, plane)
            if bits:
                seen = _mask_packed(packed, bits, grid, lattice_of(tables, number), at, target)
                for place in range(min(8, len(kept) - 8 * plane)):
                    kept[8 * plane + place] |= (seen >> place) & 1 != 0


@kernel
def _mask_aligned(
    pixels: NDArray[Any],
    sources: NDArray[np.int64],
    number: int,
    grid: NDArray[np.int64],
    plane: int,
    corner: tuple[int, int],
    target: NDArray[np.uint8],
    kept: NDArray[np.bool_],
) -> None:
    """Set the bits of one plane's sources that lie on the output's own lattice."""
    height, width = target.shape
    good, classes = np.empty(width, np.uint8), np.empty(width, pixels.dtype)
    for i in range(len(sources)):
        place = sources[i, BIT]
        if sources[i, GRID] != number or place // 8 != plane:
            continue
        for y in range(height):
            good[:] = 1
            at = (corner[0] + y, corner[1])
            aligned_row(pixels, sources[i], grid, at, good, classes)
            some = set_bits(good, classes, np.uint8(1 << (place % 8)), target[y])
            kept[place] |= some != 0


@kernel
def _packed(
    pixels: NDArray[Any],
    sources: NDArray[np.int64],
    number: int,
    grid: NDArray[np.int64],
    plane: int,
) -> tuple[NDArray[np.uint8], np.uint8]:
    """Return a plane of all sources on a grid, a bit each, and which bits they have."""
    size = grid[PART_HEIGHT] * grid[PART_WIDTH]
    packed, bits = np.zeros(size, np.uint8), np.uint8(0)
    for i in range(len(sources)):
        if sources[i, GRID] == number and sources[i, BIT] // 8 == plane:
            bit, part = np.uint8(1 << (sources[i, BIT] % 8)), pixels[sources[i, BASE] :]
            bits |= bit
            for k in range(size):
                packed[k] |= bit if part[k] != 0 else np.uint8(0)
    return packed, bits


@kernel
def _mask_packed(
    packed: NDArray[np.uint8],
    bits: np.uint8,
    grid: NDArray[np.int64],
    lattice: Lattice,
    at: tuple[int, int],
    target: NDArray[np.uint8],
) -> np.uint8:
    """Set the bits of one plane's sources on a grid; return those that are set somewhere.

    Classes are in the output's CRS as a rule, and have larger pixels: a row then looks at the same
    columns as those above it, and every other one at the same row, too. Neither is worked out anew.
    """
    height, width = target.shape
    places, seen = new_places(1, width), np.uint8(0)
    index, kind = places[1][0], places[3][0]
    first, beyond = grid[PART_Y], grid[PART_Y] + grid[PART_HEIGHT]
    straight, last, located = is_straight(lattice), NO_ROW, NO_ROW
    for y in range(height):
        row = nearest_line(lattice, at[0] + y) if straight else NO_ROW
        row = row if first <= row < beyond else NO_ROW
        if row != NO_ROW and row == last:
            repeat_bits(target[y - 1], bits, target[y])
        elif row > located >= first:
            below = packed[(row - located) * grid[PART_WIDTH] :]
            seen |= gather_bits(below, index, kind, target[y])
        else:
            locate(NEAREST, 0, grid, lattice, (at[0] + y, at[1]), y, places)
            seen |= gather_bits(packed, index, kind, target[y])
            located = row
        last = row
    return seen


@kernel
def choose_classes(classes: NDArray[Any], stays: NDArray[np.uint8]) -> None:
    """Make of each class 1 if its pixels stay, else 0; classes beyond the table do not."""
    for x in range(len(classes)):
        value = np.int64(classes[x])
        classes[x] = stays[value] if (value >= 0) & (value < len(stays)) else np.uint8(0)
