"""Outlines near a pole, in degrees: an edge of pixels bends there, so it gets further points.

What is straight in longitude and latitude goes along a parallel. Far from the poles that is next to
nothing; the corners of a square round a pole all lie on one parallel, which is a circle. Points are
added until an edge keeps its place to a thousandth of a pixel, so areas are those of the pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from landloom.raster.antimeridian import HALF_TURN, POLE, TURN
from landloom.raster.edges import bent
from landloom.raster.grid import METRES_PER_DEGREE
from landloom.raster.vectorize.shapes import Shapes

NEAR = 86.0
"""Degrees of latitude beyond which a raster reaches to a pole. An edge of 20 px of 10 m bends there
by a thousandth of a pixel; web Mercator, whose edges do not bend, ends before."""

BEND_PIXELS = 1e-3
"""How far an edge may lie beside its place."""

CAUTION = 4.0
"""So many times is the bend of an edge taken that is estimated, before it counts as none."""


def with_bends(
    shapes: Shapes,
    plane: NDArray[np.float64],
    degrees: NDArray[np.float64],
    to_degrees: Transformer,
    pixel: float,
    *,
    closed: bool,
) -> tuple[Shapes, NDArray[np.float64]]:
    """Return shapes with the points that their edges need in degrees.

    Args:
        shapes: Rings, or open lines.
        plane: (corners, 2): x, y of their corners in the raster's CRS.
        degrees: (corners, 2): longitude, latitude of the same.
        to_degrees: From one to the other.
        pixel: Side of a pixel, in units of the raster's CRS.
        closed: Whether they are rings.

    Returns:
        Shapes, in which a further point repeats the corner before it, and (corners, 2) degrees.
    """
    starts = shapes.ring_starts
    count = len(plane)
    first, last = starts[:-1], starts[1:] - 1
    following = np.arange(1, count + 1)
    following[last] = first if closed else last
    edges = np.flatnonzero(_may_bend(degrees, following, pixel))
    # Edges stand side by side as pairs of points, of which only the two of a pair are joined.
    pairs = plane[np.stack([edges, following[edges]], axis=1).ravel()]
    joined = np.arange(max(len(pairs) - 1, 0)) % 2 == 0
    points, after = bent(pairs, joined, to_degrees, BEND_PIXELS * pixel)
    if not len(points):
        return shapes, degrees
    corner = edges[after // 2]
    found = np.stack(to_degrees.transform(*points.T), axis=1)
    return Shapes(
        np.insert(shapes.vertices, corner + 1, shapes.vertices[corner], axis=0),
        starts + np.searchsorted(corner, starts),
        shapes.part_starts,
        shapes.shape_starts,
        shapes.statistics,
    ), np.insert(degrees, corner + 1, found, axis=0)


def _may_bend(
    degrees: NDArray[np.float64], following: NDArray[np.int64], pixel: float
) -> NDArray[np.bool_]:
    """Return which edges may be off; the height of the parallel's arc above its chord tells it."""
    step = (degrees[following, 0] - degrees[:, 0] + HALF_TURN) % TURN - HALF_TURN
    latitude = np.minimum(np.abs(degrees[:, 1]), np.abs(degrees[following, 1]))
    height = (POLE - latitude) * METRES_PER_DEGREE * np.deg2rad(step) ** 2 / 8
    found: NDArray[np.bool_] = CAUTION * height > BEND_PIXELS * pixel
    return found
