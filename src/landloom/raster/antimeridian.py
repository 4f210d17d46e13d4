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

    For footprints of scenes, of which none is half as wide as the Earth.
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
    closed = np.unwrap(np.append(lon, lon[0]), period=TURN)
    points = np.column_stack([closed, np.append(lat, lat[0])])
    if abs(closed[-1] - closed[0]) > HALF_TURN:
        # The outline goes once around the Earth: the pole it is near to lies inside.
        pole = POLE if lat.mean() > 0 else -POLE
        points = np.vstack([points, [closed[-1], pole], [closed[0], pole]])
    return wrapped(shapely.make_valid(shapely.Polygon(points)))


def _lines(geometry: BaseGeometry) -> list[Any]:
    """Return the rings and lines of a geometry."""
    parts = shapely.get_parts(geometry)
    while (shapely.get_type_id(parts) >= shapely.GeometryType.MULTIPOINT).any():
        parts = shapely.get_parts(parts)
    polygons = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    rings = shapely.get_rings(parts[polygons])
    return [*rings, *parts[~polygons]]


def _straightened(geometry: BaseGeometry) -> BaseGeometry:
    """Return the areas or lines of a geometry so that they go on beyond 180 degrees, not back."""
    areas: list[BaseGeometry] = []
    for part in shapely.get_parts(geometry):
        if isinstance(part, shapely.LineString):
            xy = shapely.get_coordinates(part)
            areas.append(shapely.LineString(np.unwrap(xy, period=TURN, axis=0)))
            continue
        rings: list[NDArray[np.float64]] = []
        for ring in shapely.get_rings(part):
            xy = shapely.get_coordinates(ring)
            xy[:, 0] = np.unwrap(xy[:, 0], period=TURN)
            if rings:
                # A hole may have been written on the other side of its shell's jump.
                xy[:, 0] += TURN * np.round((rings[0][:, 0].mean() - xy[:, 0].mean()) / TURN)
            rings.append(xy)
        areas.append(shapely.make_valid(shapely.Polygon(rings[0], rings[1:])))
    whole: BaseGeometry = shapely.union_all(areas)
    return whole


def _moved(geometry: BaseGeometry, degrees: float) -> BaseGeometry:
    moved: BaseGeometry = shapely.transform(geometry, lambda xy: xy + np.array([degrees, 0.0]))
    return moved
