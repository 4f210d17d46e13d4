"""The warp: where pixels of the output lie in the CRS of a scene.

Where a scene's CRS is not the output's, coordinates are transformed exactly on a lattice of every
32nd output pixel, anchored to the global pixel index of the output CRS, and interpolated in
between. How far that may be off is told cell by cell, from how the coordinates bend from node to
node: what it means in pixels of a scene, and what is done about it, is a matter of `placement`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from landloom.raster.grid import Window
from landloom.raster.mosaic.lattice import LATTICE_PX

ALIGNED_PX = 1e-6
"""Grids whose corners differ by less than this many pixels are taken for the same."""

CYLINDRICAL = ("Mercator", "Popular Visualisation Pseudo Mercator", "Equidistant Cylindrical",
               "Lambert Cylindrical Equal Area", "Miller Cylindrical")  # fmt: skip
"""How the methods of projections begin whose x is the longitude, times a constant."""


@dataclass(frozen=True)
class OutputGrid:
    """The output's pixel lattice: its CRS and pixel size."""

    crs: str
    resolution: float


@dataclass(frozen=True)
class CoordinateMap:
    """Source CRS coordinates of the lattice nodes around a window of the output."""

    grid: OutputGrid
    crs: str
    """The source's."""
    x: NDArray[np.float64]
    """(node row, node column)."""
    y: NDArray[np.float64]
    origin: tuple[int, int]
    """Global pixel index (gy, gx) of the first node."""
    bends: NDArray[np.float64]
    """How far x and y may be off where they are interpolated, in units of the source CRS,
    (2, cell row, cell column). Infinite where a node has no place."""
    worst: tuple[float, float]
    """The largest of them."""

    def exact(
        self, gx: NDArray[np.float64], gy: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the coordinates of any points in global pixels."""
        return _transformed(self.grid, self.crs, gx, gy)


@lru_cache(maxsize=32)
def coordinate_map(grid: OutputGrid, source_crs: str, window: Window) -> CoordinateMap:
    """Return the map for a window in global pixel indices (gy, gx): the same for all bands."""
    first = (window.y0 // LATTICE_PX, window.x0 // LATTICE_PX)
    last = (-(-window.y1 // LATTICE_PX), -(-window.x1 // LATTICE_PX))
    # One node more on each side: a cell looks at its neighbours, also beyond the window.
    gy = np.arange(first[0] - 1, last[0] + 2) * float(LATTICE_PX)
    gx = np.arange(first[1] - 1, last[1] + 2) * float(LATTICE_PX)
    x, y = _transformed(grid, source_crs, *np.meshgrid(gx, gy))
    if same_crs(grid.crs, source_crs):
        bends = np.zeros((2, len(gy) - 3, len(gx) - 3))
    else:
        bends = np.stack([_bends(x, turn(source_crs)), _bends(y, 0.0)])
    inner = (slice(1, -1), slice(1, -1))
    return CoordinateMap(
        grid, source_crs, np.ascontiguousarray(x[inner]), np.ascontiguousarray(y[inner]),
        (int(gy[1]), int(gx[1])), bends, (float(bends[0].max()), float(bends[1].max())),
    )  # fmt: skip


def of_corners(
    choose: Callable[..., NDArray[np.float64]], nodes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the least or greatest of each cell's four nodes."""
    across = choose(nodes[:, :-1], nodes[:, 1:])
    return choose(across[:-1], across[1:])


def aligned_shift(grid: OutputGrid, crs: str, transform: Affine) -> tuple[int, int] | None:
    """Return (gy, gx) of a source's first pixel if its grid is the output's, else None."""
    pixel = grid.resolution
    square = (
        transform.b == transform.d == 0
        and math.isclose(transform.a, pixel, rel_tol=1e-12)
        and math.isclose(transform.e, -pixel, rel_tol=1e-12)
    )
    if not square or not same_crs(grid.crs, crs):
        return None
    gy, gx = -transform.f / pixel, transform.c / pixel
    if abs(gy - round(gy)) > ALIGNED_PX or abs(gx - round(gx)) > ALIGNED_PX:
        return None
    return round(gy), round(gx)


def transformer(from_crs: str, to_crs: str) -> Transformer:
    """Return this thread's transformer from one CRS to another, x before y."""
    return _transformer(from_crs, to_crs, threading.get_ident())


@lru_cache(maxsize=256)
def same_crs(first: str, second: str) -> bool:
    """Return whether two CRSs are one."""
    return first == second or CRS(first) == CRS(second)


@lru_cache(maxsize=256)
def turn(crs: str) -> float:
    """Return how far x goes once around the Earth, in units of a CRS; 0 if x is no longitude."""
    known = CRS(crs)
    if known.is_geographic:
        return round(2 * math.pi / known.axis_info[0].unit_conversion_factor, 9)
    operation, base = known.coordinate_operation, known.geodetic_crs
    if operation is None or base is None or not operation.method_name.startswith(CYLINDRICAL):
        return 0.0
    # Two pairs of meridians a degree apart, of which at most one lies around the end of the CRS.
    x, _ = Transformer.from_crs(base, known, always_xy=True).transform([0, 1, 90, 91], [0] * 4)
    return 360 * min(abs(float(x[1] - x[0])), abs(float(x[3] - x[2])))


def _transformed(
    grid: OutputGrid, crs: str, gx: NDArray[np.float64], gy: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = gx * grid.resolution, -gy * grid.resolution
    return (x, y) if same_crs(grid.crs, crs) else transformer(grid.crs, crs).transform(x, y)


def _bends(nodes: NDArray[np.float64], period: float) -> NDArray[np.float64]:
    """Return how far interpolation in each cell may be off, (cell row, cell column).

    That is an eighth of the second differences from node to node, both ways, at the worst corner:
    in the middle alone the two cancel each other where a map is conformal.

    Args:
        nodes: One more on each side than the cells have.
        period: Of values that begin anew; 0 for none.
    """
    total = np.zeros((nodes.shape[0] - 2, nodes.shape[1] - 2))
    with np.errstate(invalid="ignore"):  # nodes without a place are infinite
        for axis, inner in ((0, np.s_[:, 1:-1]), (1, np.s_[1:-1, :])):
            steps = np.diff(nodes[inner], axis=axis)
            if period:
                steps -= period * np.round(steps / period)
            total += np.abs(np.diff(steps, axis=axis)) / 8
    return of_corners(np.maximum, np.nan_to_num(total, nan=np.inf))


@lru_cache(maxsize=256)
def _transformer(from_crs: str, to_crs: str, thread: int) -> Transformer:
    del thread  # part of the key: a Transformer belongs to one thread
    return Transformer.from_crs(from_crs, to_crs, always_xy=True)
