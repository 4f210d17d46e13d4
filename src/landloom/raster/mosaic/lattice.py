"""The lattice: where an output row's pixels lie in a source, as compiled loops look it up.

Coordinates are known at nodes, every 32nd pixel of the output, and interpolated in between. A cell
between four nodes for which that is not good enough has finer nodes of its own, or the place of
each of its pixels. What a pixel gets is a matter of its own cell alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel

LATTICE_PX = 32
"""Output pixels between two nodes."""

NODES, EACH_PIXEL, NOWHERE = 0, 1, -1
"""What may stand for the spacing of a cell's finer nodes: it has none, and the lattice's will do;
these are no nodes but pixel centres; no pixel of the cell has a place."""


class Lattice(NamedTuple):
    """Source coordinates around a window of the output, in source pixels."""

    columns: NDArray[np.float64]
    """Of the nodes, (node row, node column)."""
    rows: NDArray[np.float64]
    cells: NDArray[np.int64]
    """Of each cell, (cell row, cell column, 2): where in `fine` its finer nodes begin, and how many
    output pixels lie between two of these, or one of the numbers above. (0, 0, 2) if the nodes will
    do everywhere."""
    fine: NDArray[np.float64]
    """Columns and rows of finer nodes, cell by cell, (2, point)."""


@kernel
def place_row(
    lattice: Lattice,
    place_yx: tuple[int, int],
    at_x: NDArray[np.float64],
    at_y: NDArray[np.float64],
) -> None:
    """Fill `at_x`, `at_y` with the source coordinates of the pixel centres of one output row.

    Args:
        lattice: Around the row.
        place_yx: The row's first pixel, counted from the first node.
        at_x: Filled with columns, (x).
        at_y: Filled with rows, (x).
    """
    columns, rows, cells = lattice.columns, lattice.rows, lattice.cells
    place, start = place_yx
    ky = place // LATTICE_PX
    fy = (place - ky * LATTICE_PX + 0.5) / LATTICE_PX
    width, x, plain = len(at_x), 0, len(cells) == 0
    while x < width:
        kx = (start + x) // LATTICE_PX
        first = kx * LATTICE_PX - start
        end = min(width, first + LATTICE_PX)
        if plain or cells[ky, kx, 1] == NODES:
            x0 = columns[ky, kx] + (columns[ky + 1, kx] - columns[ky, kx]) * fy
            x1 = columns[ky, kx + 1] + (columns[ky + 1, kx + 1] - columns[ky, kx + 1]) * fy
            y0 = rows[ky, kx] + (rows[ky + 1, kx] - rows[ky, kx]) * fy
            y1 = rows[ky, kx + 1] + (rows[ky + 1, kx + 1] - rows[ky, kx + 1]) * fy
            for i in range(x, end):
                fx = (i - first + 0.5) / LATTICE_PX
                at_x[i] = x0 + (x1 - x0) * fx
                at_y[i] = y0 + (y1 - y0) * fx
        else:
            row, begin = place - ky * LATTICE_PX, x - first
            _place_finely(lattice.fine, cells[ky, kx], row, begin, at_x[x:end], at_y[x:end])
        x = end


@kernel
def _place_finely(
    fine: NDArray[np.float64],
    cell: NDArray[np.int64],
    row: int,
    begin: int,
    at_x: NDArray[np.float64],
    at_y: NDArray[np.float64],
) -> None:
    """Fill the part of a row that lies in one cell, from the cell's pixel (row, begin) on."""
    offset, spacing = cell
    if spacing == NOWHERE:
        at_x[:] = np.inf
        at_y[:] = np.inf
        return
    if spacing == EACH_PIXEL:
        first = offset + row * LATTICE_PX + begin
        for i in range(len(at_x)):
            at_x[i], at_y[i] = fine[0, first + i], fine[1, first + i]
        return
    stride, ky = LATTICE_PX // spacing + 1, row // spacing
    fy = (row - ky * spacing + 0.5) / spacing
    for i in range(len(at_x)):
        kx = (begin + i) // spacing
        fx = (begin + i - kx * spacing + 0.5) / spacing
        a = offset + ky * stride + kx
        c = a + stride
        x0 = fine[0, a] + (fine[0, c] - fine[0, a]) * fy
        x1 = fine[0, a + 1] + (fine[0, c + 1] - fine[0, a + 1]) * fy
        y0 = fine[1, a] + (fine[1, c] - fine[1, a]) * fy
        y1 = fine[1, a + 1] + (fine[1, c + 1] - fine[1, a + 1]) * fy
        at_x[i] = x0 + (x1 - x0) * fx
        at_y[i] = y0 + (y1 - y0) * fx


@kernel
def is_straight(lattice: Lattice) -> bool:
    """Return whether all pixels of an output row lie in one source row, and so with columns.

    What `place_row` makes of such nodes is exactly equal then, not only nearly.
    """
    columns, rows = lattice.columns, lattice.rows
    if len(lattice.cells):
        return False
    for ky in range(len(rows)):
        for kx in range(rows.shape[1]):
            # A node without a place is infinite, and no difference to it is 0.
            down, across = columns[ky, kx] - columns[0, kx], rows[ky, kx] - rows[ky, 0]
            if down != 0.0 or across != 0.0:
                return False
    return True
