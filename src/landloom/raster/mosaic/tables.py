"""The tables that compiled loops know sources and their grids by, and what a row looks at.

All sources of a band lie in one flat array, one after another, each described by a row of a table
(`SOURCE_COLUMNS`); sources on one grid share a row of `grids` (`GRID_COLUMNS`) and its lattice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel
from landloom.raster.mosaic.lattice import Lattice
from landloom.raster.mosaic.resample import locate_row
from landloom.raster.mosaic.rows import copy_row

BASE, GRID, BIT, SHIFT_Y, SHIFT_X = 0, 1, 2, 3, 4
SOURCE_COLUMNS = 5
"""Of a source: its first pixel in the flat array, its grid, its bit among the masks and, where it
lies on the output's own lattice, the place of its first pixel in the window's array."""

PART_Y, PART_X, PART_HEIGHT, PART_WIDTH, FULL_HEIGHT, FULL_WIDTH, ALIGNED = 0, 1, 2, 3, 4, 5, 6
GRID_COLUMNS = 7
"""Of a grid: the part that was read, the whole, and whether it is the output's own lattice."""

MISSING, OFFSET, LEAST, MOST = 0, 1, 2, 3
VALUE_COLUMNS = 4
"""Of a source: its value of pixels without data (NaN for none, or for none that its type can hold),
what is added to its values, and the range of its type: interpolated values are rounded and cut to
it where it is finite."""


class Tables(NamedTuple):
    """Where the pixels of all sources are, as compiled loops take it."""

    sources: NDArray[np.int64]
    """(source, SOURCE_COLUMNS)."""
    values: NDArray[np.float64]
    """(source, VALUE_COLUMNS)."""
    grids: NDArray[np.int64]
    """(grid, GRID_COLUMNS)."""
    columns: NDArray[np.float64]
    """Source columns of the lattice nodes, (grid, node row, node column)."""
    rows: NDArray[np.float64]
    """Source rows of the lattice nodes."""
    node_yx: tuple[int, int]
    """Where the array's pixel (0, 0) lies, counted from the first node."""
    cells: NDArray[np.int64]
    """What finer nodes there are, (grid, cell row, cell column, 2): see `Lattice`."""
    fine: NDArray[np.float64]
    """The finer nodes of all grids, (2, point)."""


class Pixels(NamedTuple):
    """The pixels of all sources, one source after another, as compiled loops take them."""

    single: NDArray[Any]
    pairs: NDArray[Any]
    """Each pixel and the next as one number, see `paired`."""
    corners: NDArray[Any]
    """Scratch for interpolation, (2, twice the width of a window), of the type of `single`."""
    corner_pairs: NDArray[Any]
    """The same memory as pairs, (2, width)."""


def joined(lattices: Sequence[Lattice | None]) -> dict[str, NDArray[Any]]:
    """Return the lattices of all grids as tables have them; None for the output's own.

    They are of one shape: those of one window of the output.
    """
    own = next((it for it in lattices if it is not None), None)
    shape = (1, 1) if own is None else own.columns.shape
    refined = any(it is not None and len(it.cells) for it in lattices)
    grids = max(1, len(lattices))
    columns, rows = np.zeros((grids, *shape)), np.zeros((grids, *shape))
    down, across = (shape[0] - 1, shape[1] - 1) if refined else (0, 0)
    cells = np.zeros((grids, down, across, 2), np.int64)
    fine, begin = [np.zeros((2, 0))], 0
    for number, it in enumerate(lattices):
        if it is not None:
            columns[number], rows[number] = it.columns, it.rows
            if len(it.cells):
                cells[number] = it.cells
                cells[number, ..., 0] += begin
                begin += it.fine.shape[1]
                fine.append(it.fine)
    return {
        "columns": columns, "rows": rows, "cells": cells, "fine": np.concatenate(fine, axis=1),
    }  # fmt: skip


def paired(pixels: NDArray[Any], width: int) -> Pixels:
    """Return pixels with room for the neighbours of a row so wide.

    Pairs lie in the pixels' own memory: two neighbours are then gathered by one load. The numbers
    overlap and are not aligned.
    """
    wide = np.dtype(f"u{2 * pixels.dtype.itemsize}")
    pairs: NDArray[Any] = np.ndarray((len(pixels) - 1,), wide, pixels, strides=pixels.strides)
    corners = np.zeros((2, 2 * width), pixels.dtype)
    return Pixels(pixels, pairs, corners, corners.view(wide))


@kernel
def new_places(
    grids: int, width: int
) -> tuple[
    NDArray[np.float64], NDArray[np.uint32], NDArray[np.float32], NDArray[np.uint8], NDArray[Any]
]:
    """Return what is known of a row's places on each grid.

    That is coordinates, index, weights, kind, and (which row this is about, whether it is all
    INNER).
    """
    return (
        np.empty((grids, 2, width)),
        np.empty((grids, width), np.uint32),
        np.empty((grids, 2, width), np.float32),
        np.empty((grids, width), np.uint8),
        np.full((grids, 2), -1),
    )


@kernel
def lattice_of(tables: Tables, number: int) -> Lattice:
    """Return the lattice of a grid."""
    return Lattice(tables.columns[number], tables.rows[number], tables.cells[number], tables.fine)


@kernel
def locate(
    method: int,
    number: int,
    grid: NDArray[np.int64],
    lattice: Lattice,
    at: tuple[int, int],
    y: int,
    places: Any,
) -> None:
    """Locate a row on a grid, unless another source on it wanted that before."""
    state = places[4][number]
    if state[0] == y:
        return
    state[0] = y
    full = (grid[FULL_HEIGHT], grid[FULL_WIDTH])
    part = (grid[PART_Y], grid[PART_X], grid[PART_HEIGHT], grid[PART_WIDTH])
    state[1] = locate_row(
        method, lattice, at, full, part,
        places[0][number], places[1][number], places[2][number], places[3][number],
    )  # fmt: skip


@kernel
def aligned_row(
    pixels: NDArray[Any],
    source: NDArray[np.int64],
    grid: NDArray[np.int64],
    at: tuple[int, int],
    good: NDArray[np.uint8],
    target: NDArray[Any],
) -> None:
    """Copy the row at `at` of the output's arrays from a source on its lattice."""
    part = pixels[source[BASE] :]
    row, first = at[0] - source[SHIFT_Y], source[SHIFT_X] - at[1]
    copy_row(part, row, first, grid[PART_HEIGHT], grid[PART_WIDTH], good, target)
