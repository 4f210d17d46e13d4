"""Well-known binary straight from arrays: no geometry object is made.

The bytes are those of OGC 06-103r4 (Simple Feature Access 1.2.1, section 8.2), little-endian.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from landloom.errors import StoreProblem
from landloom.raster.kernel import kernel
from landloom.raster.vectorize.shapes import Shapes

LINESTRING, POLYGON, MULTIPOLYGON = 2, 3, 6
"""Geometry types."""

LARGEST = 2**31 - 1
"""Bytes of all geometries of one Arrow array: its offsets are 32-bit, as most readers want them."""


def encode(shapes: Shapes, xy: NDArray[np.float64], kind: int) -> pa.Array:
    """Return the geometries of shapes as a binary array.

    Args:
        shapes: One row each.
        xy: (vertices, 2): the coordinates of their corners.
        kind: LINESTRING takes the first ring as it is, POLYGON the first part, MULTIPOLYGON all.

    Raises:
        StoreProblem: There is too much for one array.
    """
    starts = shapes.ring_starts, shapes.part_starts, shapes.shape_starts
    offsets = _offsets(*starts, kind)
    if offsets[-1] > LARGEST:
        raise StoreProblem(
            f"A polygon has {len(xy)} corners, more than the {LARGEST // 16} that a GeoParquet"
            " value can hold.",
            suggestion="Raise the threshold, close holes, simplify, or vectorize a smaller AOI.",
        )
    data = np.empty(int(offsets[-1]), np.uint8)
    _encode(xy.reshape(-1).view(np.uint8), *starts, kind, data)
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(shapes), buffers)


@kernel
def _offsets(
    ring_starts: NDArray[np.int64],
    part_starts: NDArray[np.int64],
    shape_starts: NDArray[np.int64],
    kind: int,
) -> NDArray[np.int64]:
    """Return where each geometry starts."""
    shapes = shape_starts.size - 1
    offsets = np.zeros(shapes + 1, np.int64)
    for shape in range(shapes):
        first, last = shape_starts[shape], shape_starts[shape + 1]
        rings = part_starts[last] - part_starts[first]
        corners = ring_starts[part_starts[last]] - ring_starts[part_starts[first]]
        if kind == LINESTRING:
            size = 9 + 16 * corners
        else:
            size = 9 * (last - first) + 4 * rings + 16 * (corners + rings)
        offsets[shape + 1] = offsets[shape] + size + (9 if kind == MULTIPOLYGON else 0)
    return offsets


@kernel
def _encode(
    raw: NDArray[np.uint8],
    ring_starts: NDArray[np.int64],
    part_starts: NDArray[np.int64],
    shape_starts: NDArray[np.int64],
    kind: int,
    out: NDArray[np.uint8],
) -> None:
    """Write the bytes of all geometries, one after another."""
    at = 0
    for shape in range(shape_starts.size - 1):
        first, last = shape_starts[shape], shape_starts[shape + 1]
        if kind == MULTIPOLYGON:
            at = _header(out, at, kind, last - first)
        for part in range(first, last):
            if kind != LINESTRING:
                at = _header(out, at, POLYGON, part_starts[part + 1] - part_starts[part])
            for ring in range(part_starts[part], part_starts[part + 1]):
                begin, end = ring_starts[ring], ring_starts[ring + 1]
                if kind == LINESTRING:
                    at = _copied(out, _header(out, at, kind, end - begin), raw, begin, end)
                else:
                    at = _copied(out, _count(out, at, end - begin + 1), raw, begin, end)
                    at = _copied(out, at, raw, begin, begin + 1)


@kernel
def _header(out: NDArray[np.uint8], at: int, kind: int, members: int) -> int:
    out[at] = 1  # little-endian
    return _count(out, _count(out, at + 1, kind), members)


@kernel
def _count(out: NDArray[np.uint8], at: int, value: int) -> int:
    for byte in range(4):
        out[at + byte] = (value >> (8 * byte)) & 255
    return at + 4


@kernel
def _copied(out: NDArray[np.uint8], at: int, raw: NDArray[np.uint8], begin: int, end: int) -> int:
    """Copy points; slices without negative indexes become wide moves."""
    size = 16 * (end - begin)
    target, source = out[at : at + size], raw[16 * begin : 16 * end]
    for byte in range(np.uint64(size)):
        target[byte] = source[byte]
    return at + size
