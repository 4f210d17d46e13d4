"""The antimeridian: geometries cut where longitude jumps from 180 to -180, and put together again.

Stored geometries keep to RFC 7946: longitudes within [-180, 180], a shape that crosses the
antimeridian in two parts. Where a shape must be looked at as a whole (its centre, its width), the
parts are moved together, which takes longitudes beyond 180.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

TURN = 360.0
HALF_TURN = 180.0
POLE = 90.0

POLE_CORNERS = 5
"""Corners by which a ring once round the Earth is closed at its pole: no edge there jumps."""


def has_jump(geometry: BaseGeometry) -> bool:
    """Tell whether an edge spans more than half the Earth but not all of it.

    Such an edge most likely means the short way, across the antimeridian. An edge of 360 degrees is
    a box around the whole Earth.
    """
    for line in _lines(geometry):
        steps = np.abs(np.diff(shapely.get_coordinates(line)[:, 0]))
        if ((steps > HALF_TURN) & (steps < TURN)).any():
            return True
    return False


def mended(geometry: BaseGeometry) -> BaseGeometry:
    """Return a geometry whose long edges go the short way, split at the antimeridian.

    An outline that goes once round the Earth holds the pole that it is near to. For footprints of
    scenes, and for areas whose edges are known to be short.
    """
    if has_jump(geometry):
        geometry = _straightened(geometry)
    return wrapped(geometry)


def wrapped(geometry: BaseGeometry) -> BaseGeometry:
    """Return a geometry with longitudes in [-180, 180], split at the antimeridian."""
    west, _, east, _ = geometry.bounds
    if west >= -HALF_TURN and east <= HALF_TURN:
        return geometry
    if not geometry.is_valid:
        geometry = shapely.make_valid(geometry)
    pieces = []
    for turn in range(int((west + HALF_TURN) // TURN), int((east + HALF_TURN) // TURN) + 1):
        low = turn * TURN - HALF_TURN
        piece = shapely.intersection(geometry, shapely.box(low, -POLE, low + TURN, POLE))
        pieces.append(_moved(piece, -turn * TURN))
    whole: BaseGeometry = shapely.union_all([piece for piece in pieces if not piece.is_empty])
    return whole


def unwrapped(geometry: BaseGeometry) -> BaseGeometry:
    """Return a geometry with its parts moved together across the antimeridian.

    The widest gap between its parts, counted around the Earth, is taken for the outside; where that
    gap holds the antimeridian, nothing is moved.
    """
    parts = shapely.get_parts(geometry)
    spans = shapely.bounds(parts)[:, [0, 2]]
    order = np.argsort(spans[:, 0], kind="stable")
    west, reach = spans[order, 0], np.maximum.accumulate(spans[order, 1])
    gaps = np.append(west[1:] - reach[:-1], west[0] + TURN - reach[-1])
    widest = int(np.argmax(gaps))
    if gaps[-1] >= gaps[widest]:
        return geometry
    eastern = west[widest + 1]
    moved = [_moved(part, TURN) if part.bounds[0] < eastern else part for part in parts]
    whole: BaseGeometry = shapely.union_all(moved)
    return whole


def enclosed(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> BaseGeometry:
    """Return the area inside a dense outline, which may cross the antimeridian or hold a pole.

    Args:
        lon: Longitudes of a closed outline's points, the first not repeated, degrees.
        lat: Their latitudes.
    """
    ring = np.column_stack([np.append(lon, lon[0]), np.append(lat, lat[0])])
    return wrapped(shapely.make_valid(shapely.Polygon(_unwound(ring))))


def _unwound(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a ring, its first point repeated at its end, that goes on beyond 180 degrees.

    One that goes once round the Earth is closed by way of the pole that it is near to, which lies
    inside: it gets further points.
    """
    lon = np.unwrap(ring[:, 0], period=TURN)
    points = np.column_stack([lon, ring[:, 1]])
    if abs(lon[-1] - lon[0]) < HALF_TURN:
        return points
    pole = np.full(POLE_CORNERS, POLE if ring[:, 1].mean() > 0 else -POLE)
    back = np.linspace(lon[-1], lon[0], POLE_CORNERS)
    return np.vstack([points, np.column_stack([back, pole]), points[:1]])


def _lines(geometry: BaseGeometry) -> list[Any]:
    """Return the rings and lines of a geometry."""
    parts = _parts(geometry)
    polygons = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    rings = shapely.get_rings(parts[polygons])
    return [*rings, *parts[~polygons]]


def _parts(geometry: BaseGeometry) -> NDArray[Any]:
    """Return the polygons, lines and points of a geometry, however deep they lie."""
    parts = shapely.get_parts(geometry)
    while (shapely.get_type_id(parts) >= shapely.GeometryType.MULTIPOINT).any():
        parts = shapely.get_parts(parts)
    found: NDArray[Any] = parts
    return found


def _straightened(geometry: BaseGeometry) -> BaseGeometry:
    """Return the parts of a geometry so that they go on beyond 180 degrees, not back."""
    found: list[BaseGeometry] = []
    for part in _parts(geometry):
        if isinstance(part, shapely.Polygon):
            rings = [_unwound(shapely.get_coordinates(ring)) for ring in shapely.get_rings(part)]
            found.append(_area(rings[0], rings[1:]))
            continue
        xy = shapely.get_coordinates(part)
        straight = isinstance(part, shapely.LineString)
        found.append(shapely.LineString(np.unwrap(xy, period=TURN, axis=0)) if straight else part)
    whole: BaseGeometry = shapely.union_all(found)
    return whole


def _area(shell: NDArray[np.float64], holes: list[NDArray[np.float64]]) -> BaseGeometry:
    """Return the area inside a ring and outside others, all of them unwound."""
    if np.ptp(shell[:, 0]) >= TURN:
        # It is cut open somewhere, maybe in a hole: both are split at the antimeridian first.
        whole: BaseGeometry = wrapped(shapely.make_valid(shapely.Polygon(shell)))
        for hole in holes:
            whole = whole.difference(wrapped(shapely.make_valid(shapely.Polygon(hole))))
        return whole
    for hole in holes:
        # It may have been written on the other side of its shell's jump.
        hole[:, 0] += TURN * np.round((shell[:, 0].mean() - hole[:, 0].mean()) / TURN)
    return shapely.make_valid(shapely.Polygon(shell, holes))


def _moved(geometry: BaseGeometry, degrees: float) -> BaseGeometry:
    moved: BaseGeometry = shapely.transform(geometry, lambda xy: xy + np.array([degrees, 0.0]))
    return moved
