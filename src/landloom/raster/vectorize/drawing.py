"""Draw the pixels of a shape, to work on one whole area at a time."""

from __future__ import annotations

import tempfile

import numpy as np
from numpy.typing import NDArray

from landloom.raster.grid import Window
from landloom.raster.kernel import kernel
from landloom.raster.vectorize.shapes import Shapes

LARGEST_IN_MEMORY = 2**28
"""Pixels: 256 MiB. A larger drawing lies in a temporary file, which the system pages in and out."""


def window_of(shapes: Shapes, shape: int) -> Window:
    """Return the pixels round a shape, in array pixels."""
    starts = shapes.vertex_starts()
    corners = shapes.vertices[starts[shape] : starts[shape + 1]]
    (y0, x0), (y1, x1) = corners.min(axis=0), corners.max(axis=0)
    return Window(int(y0), int(x0), int(y1), int(x1))


def drawn(shapes: Shapes, shape: int, window: Window) -> NDArray[np.uint8]:
    """Return (y + 2, x + 2): 1 at the pixels of a shape, with a frame of zeros."""
    height, width = window.shape_yx
    size = (height + 2, width + 2)
    if size[0] * size[1] <= LARGEST_IN_MEMORY:
        mask = np.zeros(size, np.uint8)
    else:
        with tempfile.TemporaryFile() as file:  # the mapping keeps it until it is dropped
            file.truncate(size[0] * size[1])
            mask = np.memmap(file, np.uint8, "r+", shape=size).view(np.ndarray)
    parts = shapes.shape_starts[shape], shapes.shape_starts[shape + 1]
    first, last = (int(shapes.part_starts[part]) for part in parts)
    _draw(mask, shapes.vertices, shapes.ring_starts[first : last + 1], window.y0 - 1, window.x0 - 1)
    return mask


@kernel
def _draw(
    mask: NDArray[np.uint8],
    vertices: NDArray[np.int32],
    starts: NDArray[np.int64],
    top: int,
    left: int,
) -> None:
    """Toggle a pixel right of each vertical edge, then sum along the rows."""
    for ring in range(starts.size - 1):
        begin, end = starts[ring], starts[ring + 1]
        for corner in range(begin, end):
            to = corner + 1 if corner + 1 < end else begin
            x = vertices[corner, 1]
            if vertices[to, 1] != x:
                continue
            y0, y1 = vertices[corner, 0], vertices[to, 0]
            for y in range(min(y0, y1), max(y0, y1)):
                mask[y - top, x - left] ^= 1
    for y in range(mask.shape[0]):
        inside = np.uint8(0)
        for x in range(mask.shape[1]):
            inside ^= mask[y, x]
            mask[y, x] = inside
