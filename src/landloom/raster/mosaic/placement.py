"""The placement: where pixels of the output lie in a source's own grid.

Coordinates between the nodes of the lattice are interpolated. For scenes of 10 to 30 m in UTM, on a
grid of their size in web Mercator, degrees or another zone, that is good to 1e-3 source pixels
everywhere. A cell where it is not (coarse pixels, the surroundings of a pole, the meridian at which
a CRS ends) has finer nodes, or each of its pixels is transformed. What a cell has and how its
pixels are computed are a matter of the cell and the raster alone, so the result does not depend on
how the output was cut into tiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from landloom.raster.grid import Window
from landloom.raster.mosaic.lattice import EACH_PIXEL, LATTICE_PX, NODES, NOWHERE, Lattice
from landloom.raster.mosaic.warp import CoordinateMap, of_corners, turn

BENT_PX = 1e-3
"""Source pixels that an interpolated coordinate may be off. What is off by more is refined."""

REFINED_PX = 1e-4
"""The same in cells that are refined."""

FINE_PX = (8, 2, EACH_PIXEL)
"""Output pixels between finer nodes. What interpolation is off by goes with the square of that."""

CHUNK_CELLS = 256
"""Cells that are refined at a time: what is needed on the way takes ten times the result."""

BOUNDS = (np.minimum, np.maximum)


@dataclass(frozen=True)
class SourceMap:
    """A coordinate map for one source grid."""

    lattice: Lattice
    origin: tuple[int, int]
    """Global pixel index (gy, gx) of the first node."""

    def needed(self, shape_yx: tuple[int, int], reach: int, window: Window) -> Window:
        """Return the source pixels that a window of the output looks at, clipped to the source.

        Args:
            shape_yx: Of the source.
            reach: Source pixels around a coordinate that interpolation looks at.
            window: The one that the map is for, in global pixels (gy, gx).
        """
        if len(self.lattice.cells):
            columns, rows = _touched(self.lattice, shape_yx)
        else:
            with np.errstate(invalid="ignore"):  # nodes without a place are infinite
                columns = self._within(self.lattice.columns, window)
                rows = self._within(self.lattice.rows, window)
        finite = np.isfinite(columns) & np.isfinite(rows)
        if not finite.any():
            return Window(0, 0, 0, 0)
        columns, rows = columns[finite], rows[finite]
        return Window(
            math.floor(rows.min()) - reach,
            math.floor(columns.min()) - reach,
            math.ceil(rows.max()) + reach,
            math.ceil(columns.max()) + reach,
        ).clipped(Window(0, 0, *shape_yx))

    def sides(self, shape_yx: tuple[int, int], window: Window) -> tuple[SourceMap, ...]:
        """Return the map, or two where a window looks at both ends of a raster around the Earth.

        Each of two has no place for what the other has one for; what they need is narrow.

        Args:
            shape_yx: Of the source.
            window: As in `needed`.
        """
        columns, rows, cells, fine = self.lattice
        pixels = cells[..., 1] == EACH_PIXEL
        middle = shape_yx[1] / 2
        if not pixels.any() or self.needed(shape_yx, 0, window).shape_yx[1] <= middle:
            return (self,)
        # A cell goes wholly to the side that its first node lies on, one without nodes is divided.
        places = np.where(cells[..., 1] > EACH_PIXEL, fine[0, cells[..., 0]], columns[:-1, :-1])
        found = []
        for right in (False, True):
            mine, points = cells.copy(), fine.copy()
            mine[((places >= middle) != right) & ~pixels, 1] = NOWHERE
            start = int(cells[pixels][:, 0].min())  # points of single pixels are the last
            points[0, start:][(points[0, start:] >= middle) != right] = np.inf
            found.append(SourceMap(Lattice(columns, rows, mine, points), self.origin))
        return tuple(found)

    def _within(self, nodes: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
        """Return nodes with the outermost moved inward to the window's edges.

        What lies between nodes is interpolated, so the extremes over a window are among these.
        """
        for axis, (first, begin, end) in enumerate(
            zip(self.origin, (window.y0, window.x0), (window.y1, window.x1), strict=True)
        ):
            along = np.moveaxis(nodes, axis, 0)
            places = first + LATTICE_PX * np.arange(len(along))
            before, after = (begin - places[0]) / LATTICE_PX, (places[-1] - end) / LATTICE_PX
            low = along[0] + (along[1] - along[0]) * before
            high = along[-1] + (along[-2] - along[-1]) * after
            nodes = np.moveaxis(np.concatenate([low[None], along[1:-1], high[None]]), 0, axis)
        return nodes


def source_map(
    coordinates: CoordinateMap, transform: Affine, shape_yx: tuple[int, int]
) -> SourceMap:
    """Return a coordinate map in the pixels of a source grid of some shape."""
    middle = float((transform @ (shape_yx[1] / 2, shape_yx[0] / 2))[0])
    x = _near(coordinates.x, middle, turn(coordinates.crs))
    columns, rows = _in_pixels(transform, x, coordinates.y)
    spacing = _spacing(coordinates, transform, x, (columns, rows), shape_yx)
    cells, fine = np.zeros((0, 0, 2), np.int64), np.zeros((2, 0))
    if spacing is not None:
        cells, fine = _refined(coordinates, transform, x, middle, spacing)
    return SourceMap(Lattice(columns, rows, cells, fine), coordinates.origin)


def _near(
    x: NDArray[np.float64], middle: float | NDArray[np.float64], period: float
) -> NDArray[np.float64]:
    """Return x moved by whole periods to half a one around `middle`; 0 for no period."""
    if not period:
        return x
    with np.errstate(invalid="ignore"):
        return x - period * np.round((x - middle) / period)


def _in_pixels(
    transform: Affine, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return columns and rows of coordinates."""
    if transform.b == 0 and transform.d == 0:
        return (x - transform.c) / transform.a, (y - transform.f) / transform.e
    inverse = ~transform
    return (
        inverse.a * x + inverse.b * y + inverse.c,
        inverse.d * x + inverse.e * y + inverse.f,
    )


def _spacing(
    coordinates: CoordinateMap,
    transform: Affine,
    x: NDArray[np.float64],
    places: tuple[NDArray[np.float64], NDArray[np.float64]],
    shape_yx: tuple[int, int],
) -> NDArray[np.int64] | None:
    """Return of which spacing each cell's nodes have to be; None if the lattice will do.

    Args:
        coordinates: Tells how far they may be off.
        transform: Of the source.
        x: Of the nodes, near the source.
        places: Columns and rows of the nodes.
        shape_yx: Of the source.
    """
    if period := turn(coordinates.crs):
        x = np.where(np.isfinite(x), x, np.nan)
    inverse = ~transform
    scale = np.abs([[inverse.a, inverse.b], [inverse.d, inverse.e]])
    with np.errstate(invalid="ignore"):  # nodes without a place are infinite
        jumping = period > 0 and not np.ptp(x) <= period / 2  # or NaN
        if not jumping and float((scale @ np.array(coordinates.worst)).max()) <= BENT_PX:
            return None
        off = np.einsum("ij,jyx->iyx", scale, coordinates.bends).max(axis=0)
        off = np.nan_to_num(off, nan=np.inf, posinf=np.inf)
        limits = [REFINED_PX * (LATTICE_PX / step) ** 2 for step in FINE_PX[:-1]]
        spacing = np.select(
            [off <= BENT_PX, *(off <= limit for limit in limits)],
            [NODES, *FINE_PX[:-1]],
            EACH_PIXEL,
        )
        low, high = of_corners(np.minimum, x), of_corners(np.maximum, x)
        if period:
            spacing[high - low > period / 2] = EACH_PIXEL
        for nodes, side in zip(places, shape_yx[::-1], strict=True):
            low, high = of_corners(np.minimum, nodes), of_corners(np.maximum, nodes)
            spacing[(low > side + off + 1) | (high < -off - 1)] = NODES
        bare = of_corners(np.minimum, np.where(np.isfinite(places[0] + places[1]), 0.0, 1.0)) == 1
    spacing[bare] = NOWHERE
    return spacing if spacing.any() else None


def _refined(
    coordinates: CoordinateMap,
    transform: Affine,
    x: NDArray[np.float64],
    middle: float,
    spacing: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return `cells` and `fine` of a lattice."""
    period, (top, left) = turn(coordinates.crs), coordinates.origin
    cells = np.zeros((*spacing.shape, 2), np.int64)
    cells[..., 1] = spacing
    total = sum(int((spacing == step).sum()) * len(_inside(step)) ** 2 for step in FINE_PX)
    fine, begin = np.empty((2, total)), 0
    for step in FINE_PX:
        inside = _inside(step)
        every = np.argwhere(spacing == step)
        for some in (every[i : i + CHUNK_CELLS] for i in range(0, len(every), CHUNK_CELLS)):
            ky, kx = some.T
            gy = (top + LATTICE_PX * ky)[:, None, None] + inside[:, None] + np.zeros(len(inside))
            gx = (left + LATTICE_PX * kx)[:, None, None] + inside + np.zeros((len(inside), 1))
            found, y = coordinates.exact(gx, gy)
            # Nodes belong together, also where one lies just beyond the end of the CRS.
            near = middle if step == EACH_PIXEL else x[ky, kx][:, None, None]
            end = begin + found.size
            places = _in_pixels(transform, _near(found, near, period), y)
            fine[:, begin:end] = [each.ravel() for each in places]
            cells[ky, kx, 0] = begin + np.arange(len(some)) * len(inside) ** 2
            begin = end
    return cells, fine


def _inside(step: int) -> NDArray[np.float64]:
    """Return where in a cell its finer nodes are along a side, or its pixels' centres."""
    if step == EACH_PIXEL:
        return np.arange(0.5, LATTICE_PX)
    return np.arange(0.0, LATTICE_PX + 1, step)


def _touched(
    lattice: Lattice, shape_yx: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return columns and rows that bound what a refined lattice looks at, the source's edge in it.

    They are corners of the boxes of those cells that touch the source.
    """
    columns, rows, cells, fine = lattice
    spacing = cells[..., 1]
    boxes = []  # (4, box): least and greatest column, least and greatest row
    flat = spacing == NODES
    boxes.append(np.stack([of_corners(of, at)[flat] for at in (columns, rows) for of in BOUNDS]))
    for step in FINE_PX[:-1]:
        length = len(_inside(step)) ** 2
        points = fine[:, cells[spacing == step][:, 0, None] + np.arange(length)]
        boxes.append(np.stack([of.reduce(at, axis=1) for at in points for of in BOUNDS]))
    single = cells[spacing == EACH_PIXEL][:, 0]
    points = fine[:, int(single.min()) :] if len(single) else fine[:, :0]
    boxes.append(np.repeat(points, 2, axis=0))
    left, right, top, bottom = np.concatenate(boxes, axis=1)
    height, width = shape_yx
    inside = (right >= -1) & (left <= width + 1) & (bottom >= -1) & (top <= height + 1)
    return (
        np.concatenate([left[inside], right[inside]]),
        np.concatenate([top[inside], bottom[inside]]),
    )
