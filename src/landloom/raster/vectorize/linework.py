"""The boundaries of all shapes of a time step as one net, and which of its corners stay.

Neighbours stay neighbours when outlines are simplified only if both sides of a boundary, whatever
feature or tile they belong to, keep the same corners. So corners are chosen on the net of all
boundaries together, not on polygons: `simplify` marks the ones that stay, and every ring then drops
the others. The net lies in a temporary file, one byte a lattice point.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel
from landloom.raster.vectorize.areas import pixel_metres
from landloom.raster.vectorize.batch import Batch
from landloom.raster.vectorize.project import Projection
from landloom.raster.vectorize.shapes import Shapes
from landloom.raster.vectorize.simplify import BLOCK, keep_corners
from landloom.raster.vectorize.trace import rotate_to_smallest

TO_EAST, TO_SOUTH, KEPT = 1, 2, 4
"""Bits of a lattice point: a boundary goes on from it, or it stays."""


@dataclass(slots=True)
class Linework:
    """The net of one time step."""

    shape_yx: tuple[int, int]
    _file: Any = field(default_factory=tempfile.TemporaryFile)

    def __post_init__(self) -> None:
        self._file.truncate(self._size[0] * self._size[1])

    @property
    def _size(self) -> tuple[int, int]:
        return self.shape_yx[0] + 1, self.shape_yx[1] + 1

    def draw(self, shapes: Shapes) -> None:
        """Add the boundaries of shapes."""
        _draw(self._points(), shapes.vertices, shapes.ring_starts)

    def simplify(self, tolerance_m: float, degrees: Projection, workers: int) -> None:
        """Choose the corners that stay, block by block; see `simplify`.

        Args:
            tolerance_m: How far a line may leave what it stands for, in metres on the ground.
            degrees: The way to longitude and latitude.
            workers: Threads.
        """
        origin = degrees.origin
        first = [int(start // BLOCK) for start in origin]
        last = [int(-(-end // BLOCK)) for end in origin + np.array(self.shape_yx)]
        blocks = product(range(first[0], last[0]), range(first[1], last[1]))

        def one(block: tuple[int, int]) -> None:
            corner = np.array(block) * BLOCK - origin.astype(np.int64)
            ground = pixel_metres(degrees, corner + BLOCK // 2)
            keep_corners(self._points(), corner, tolerance_m, ground)

        with ThreadPoolExecutor(workers, thread_name_prefix="simplify") as pool:
            for _ in pool.map(one, blocks):
                pass

    def thinned(self, batch: Batch) -> Batch:
        """Return the rows with the corners that stay."""
        shapes = batch.shapes
        vertices, starts = _thin(self._points(), shapes.vertices, shapes.ring_starts)
        rotate_to_smallest(vertices, starts)
        thin = Shapes(vertices, starts, shapes.part_starts, shapes.shape_starts)
        return Batch(thin, batch.places, batch.columns, batch.names())

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def _points(self) -> NDArray[np.uint8]:
        return np.memmap(self._file, np.uint8, "r+", shape=self._size).view(np.ndarray)


@kernel
def _draw(
    points: NDArray[np.uint8], vertices: NDArray[np.int32], starts: NDArray[np.int64]
) -> None:
    for ring in range(starts.size - 1):
        begin, end = starts[ring], starts[ring + 1]
        y0, x0 = vertices[end - 1, 0], vertices[end - 1, 1]
        for corner in range(begin, end):
            y1, x1 = vertices[corner, 0], vertices[corner, 1]
            if y0 == y1:
                for x in range(min(x0, x1), max(x0, x1)):
                    points[y0, x] |= TO_EAST
            else:
                for y in range(min(y0, y1), max(y0, y1)):
                    points[y, x0] |= TO_SOUTH
            y0, x0 = y1, x1


@kernel
def _thin(
    points: NDArray[np.uint8], vertices: NDArray[np.int32], starts: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Walk along each ring and keep the points that stay, corners or not."""
    out = np.empty((max(vertices.shape[0], 64), 2), np.int32)
    out_starts = np.zeros(starts.size, np.int64)
    used = 0
    for ring in range(starts.size - 1):
        begin, end = starts[ring], starts[ring + 1]
        for corner in range(begin, end):
            to = corner + 1 if corner + 1 < end else begin
            y, x = vertices[corner, 0], vertices[corner, 1]
            dy, dx = np.sign(vertices[to, 0] - y), np.sign(vertices[to, 1] - x)
            while y != vertices[to, 0] or x != vertices[to, 1]:
                if points[y, x] & KEPT:
                    if used == out.shape[0]:
                        more = np.empty((2 * used, 2), np.int32)
                        more[:used] = out
                        out = more
                    out[used, 0], out[used, 1] = y, x
                    used += 1
                y += dy
                x += dx
        out_starts[ring + 1] = used
    return out[:used].copy(), out_starts
