"""Areas and lengths on the WGS 84 ellipsoid.

Areas are taken in the cylindrical equal-area projection of the ellipsoid, by authalic latitude
(Snyder, "Map Projections: A Working Manual", 1987, eq. 3-11, 3-12): exact for edges that are
straight there. Near a pole, where those of pixels are not, they have further corners: see `poles`.
Against geodesic edges (`pyproj.Geod`) an edge of 1 km differs by some 10 square metres, so polygons
of pixels agree to better than 1e-5.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pyproj import Geod

from landloom.raster.kernel import kernel
from landloom.raster.vectorize.project import Projection
from landloom.raster.vectorize.shapes import Shapes

SEMI_MAJOR = 6378137.0
"""Metres; WGS 84."""

ECCENTRICITY = 0.0818191908426215
"""First eccentricity of WGS 84."""

EARTH = Geod(ellps="WGS84")


def ring_areas(ring_starts: NDArray[np.int64], degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (rings,): the area of each ring in square metres, not negative.

    Args:
        ring_starts: (rings + 1,): where each starts among the corners.
        degrees: (corners, 2): longitude, latitude.
    """
    return _ring_areas(ring_starts, degrees)


def shape_areas(shapes: Shapes, degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (shapes,): the area of each shape, its holes taken out, in square metres."""
    signed = ring_areas(shapes.ring_starts, degrees)
    holes = np.ones(len(signed), bool)
    holes[shapes.part_starts[:-1]] = False
    signed[holes] *= -1
    found: NDArray[np.float64] = np.add.reduceat(
        signed, shapes.part_starts[shapes.shape_starts[:-1]]
    )
    return found


def perimeters(shapes: Shapes, degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (shapes,): the geodesic length of all rings of each shape, in metres."""
    following = np.arange(1, len(degrees) + 1)
    following[shapes.ring_starts[1:] - 1] = shapes.ring_starts[:-1]
    lon, lat = degrees.T
    _, _, lengths = EARTH.inv(lon, lat, lon[following], lat[following])
    found: NDArray[np.float64] = np.add.reduceat(lengths, shapes.vertex_starts()[:-1])
    return found


def pixel_metres(degrees: Projection, place_yx: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (2,): how high and wide a pixel is on the ground.

    Args:
        degrees: The way to longitude and latitude.
        place_yx: (2,): the pixel, in the array.
    """
    points = np.stack([place_yx, place_yx + np.array([1, 0]), place_yx + np.array([0, 1])])
    lon, lat = degrees.coordinates(points.astype(np.int32)).T
    _, _, lengths = EARTH.inv([lon[0]] * 2, [lat[0]] * 2, lon[1:], lat[1:])
    found: NDArray[np.float64] = np.asarray(lengths)
    return found


@kernel
def _ring_areas(starts: NDArray[np.int64], degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    radians = math.pi / 180
    scale = 0.5 * SEMI_MAJOR * SEMI_MAJOR
    out = np.empty(starts.size - 1)
    for ring in range(starts.size - 1):
        begin, end = starts[ring], starts[ring + 1]
        reference = _authalic(degrees[begin, 1])  # sums of small numbers keep their digits
        total, turned = 0.0, 0.0
        before = _authalic(degrees[end - 1, 1]) - reference
        lon_before = degrees[end - 1, 0]
        for corner in range(begin, end):
            here, lon = _authalic(degrees[corner, 1]) - reference, degrees[corner, 0]
            step = lon - lon_before
            if step > 180:  # noqa: PLR2004 - degrees: the short way round
                step -= 360
            elif step < -180:  # noqa: PLR2004
                step += 360
            total += step * radians * (here + before)
            turned += step
            before, lon_before = here, lon
        if abs(turned) > 180:  # noqa: PLR2004 - once round the Earth: from the pole, not the parallel
            pole = _authalic(math.copysign(90.0, degrees[begin, 1])) - reference
            total -= 2 * turned * radians * pole
        out[ring] = abs(total) * 0.5 * scale
    return out


@kernel
def _authalic(latitude: float) -> float:
    """Return Snyder's q of a latitude in degrees: height in the equal-area projection."""
    sine = math.sin(latitude * math.pi / 180)
    e = ECCENTRICITY
    return (1 - e * e) * (
        sine / (1 - e * e * sine * sine) - math.log((1 - e * sine) / (1 + e * sine)) / (2 * e)
    )
