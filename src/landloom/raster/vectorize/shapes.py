"""Polygons in the pixel lattice: nested arrays, no objects.

A shape is one row of the result. It has one part, or several under 8-connectivity, where areas
that touch at corners only are one shape: a valid multipolygon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel
from landloom.raster.vectorize.statistics import Statistics
from landloom.raster.vectorize.trace import Rings


@dataclass(frozen=True, slots=True)
class Shapes:
    """Shapes of parts of rings of vertices. Everything has one canonical order (see `assemble`)."""

    vertices: NDArray[np.int32]
    """(n, 2): y, x of the lattice."""
    ring_starts: NDArray[np.int64]
    """(rings + 1,): where each ring starts in `vertices`."""
    part_starts: NDArray[np.int64]
    """(parts + 1,): where each part starts among the rings; its first ring is the exterior."""
    shape_starts: NDArray[np.int64]
    """(shapes + 1,): where each shape starts among the parts."""
    statistics: Statistics | None = None
    """Of each shape, if asked for."""

    def __len__(self) -> int:
        return len(self.shape_starts) - 1

    def vertex_starts(self) -> NDArray[np.int64]:
        """Return (shapes + 1,): where each shape starts in `vertices`."""
        return self.ring_starts[self.part_starts[self.shape_starts]]

    def bounds(self) -> NDArray[np.int32]:
        """Return (shapes, 4): y0, x0, y1, x1 in lattice lines."""
        return bounds_of(self.vertices, self.vertex_starts())

    def first_vertices(self) -> NDArray[np.int32]:
        """Return (shapes, 2): each shape's smallest vertex, which no other shape has.

        It is the upper left corner of the shape's first pixel, so it names the shape.
        """
        return self.vertices[self.vertex_starts()[:-1]]

    def taken(self, order: NDArray[np.int64]) -> Shapes:
        """Return the shapes in another order, or some of them."""
        vertices, rings, parts, shapes = _take_shapes(
            self.vertices, self.ring_starts, self.part_starts, self.shape_starts, order
        )
        statistics = None if self.statistics is None else self.statistics.taken(order)
        return Shapes(vertices, rings, parts, shapes, statistics)


def assemble(
    rings: Rings, shape_of: NDArray[np.int64], statistics: Statistics | None = None
) -> Shapes:
    """Sort rings into shapes, canonically.

    Rings of a part are sorted by their smallest vertex, which puts the exterior first; parts of a
    shape by theirs; shapes by number.

    Args:
        rings: Rings whose owner is the part they bound.
        shape_of: The shape of each owner, indexed by owner.
        statistics: Of every shape that occurs, in the order of its number.
    """
    first = rings.first_vertices()
    by_part = np.lexsort((first[:, 1], first[:, 0], rings.owner))
    owner, first = rings.owner[by_part], first[by_part]
    leads = np.flatnonzero(np.diff(owner, prepend=-1))
    ring_counts = np.diff(leads, append=len(owner))
    shape = shape_of[owner[leads]]
    by_shape = np.lexsort((first[leads, 1], first[leads, 0], shape))
    order = by_part[_ranges(leads[by_shape], ring_counts[by_shape])]
    ordered = rings.taken(order)
    shape = shape[by_shape]
    return Shapes(
        ordered.vertices,
        ordered.starts,
        np.concatenate([[0], np.cumsum(ring_counts[by_shape])]),
        np.append(np.flatnonzero(np.diff(shape, prepend=-1)), len(shape)),
        statistics,
    )


def concatenated(pieces: Sequence[Shapes]) -> Shapes:
    """Return all shapes of `pieces`, in their order."""
    statistics = pieces[0].statistics
    for piece in pieces[1:]:
        if statistics is not None and piece.statistics is not None:
            statistics = statistics.joined(piece.statistics)
    return Shapes(
        np.concatenate([piece.vertices for piece in pieces]),
        _joined_starts([piece.ring_starts for piece in pieces]),
        _joined_starts([piece.part_starts for piece in pieces]),
        _joined_starts([piece.shape_starts for piece in pieces]),
        statistics,
    )


def starts_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each of several lists starts in their concatenation, and where it ends."""
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def _joined_starts(starts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return starts_of(np.concatenate([np.diff(each) for each in starts]))


@kernel
def bounds_of(points: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[Any]:
    """Return (n, 4): the least first and second and the greatest first and second number.

    Args:
        points: (m, 2).
        starts: (n + 1,): where each group of points starts; none is empty.
    """
    out = np.empty((starts.size - 1, 4), points.dtype)
    for group in range(starts.size - 1):
        low_0 = high_0 = points[starts[group], 0]
        low_1 = high_1 = points[starts[group], 1]
        for place in range(starts[group] + 1, starts[group + 1]):
            first, second = points[place, 0], points[place, 1]
            low_0, high_0 = min(low_0, first), max(high_0, first)
            low_1, high_1 = min(low_1, second), max(high_1, second)
        out[group, 0], out[group, 1], out[group, 2], out[group, 3] = low_0, low_1, high_0, high_1
    return out


@kernel
def _take_shapes(
    vertices: NDArray[np.int32],
    ring_starts: NDArray[np.int64],
    part_starts: NDArray[np.int64],
    shape_starts: NDArray[np.int64],
    order: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    parts, rings, corners = 0, 0, 0
    for shape in order:
        part, end = shape_starts[shape], shape_starts[shape + 1]
        parts += end - part
        rings += part_starts[end] - part_starts[part]
        corners += ring_starts[part_starts[end]] - ring_starts[part_starts[part]]
    out = np.empty((corners, 2), np.int32)
    out_rings = np.zeros(rings + 1, np.int64)
    out_parts = np.zeros(parts + 1, np.int64)
    out_shapes = np.zeros(order.size + 1, np.int64)
    parts, rings, corners = 0, 0, 0
    for index in range(order.size):
        shape = order[index]
        for part in range(shape_starts[shape], shape_starts[shape + 1]):
            for ring in range(part_starts[part], part_starts[part + 1]):
                for corner in range(ring_starts[ring], ring_starts[ring + 1]):
                    out[corners, 0], out[corners, 1] = vertices[corner, 0], vertices[corner, 1]
                    corners += 1
                rings += 1
                out_rings[rings] = corners
            parts += 1
            out_parts[parts] = rings
        out_shapes[index + 1] = parts
    return out, out_rings, out_parts, out_shapes


def _ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the concatenation of arange(start, start + count)."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    indexes: NDArray[np.int64] = np.arange(total) + np.repeat(starts - (ends - counts), counts)
    return indexes
