"""Straight edges in the plane of a CRS as edges in degrees: they bend, so they get further points.

An edge is cut in halves until what is straight in degrees between its points lies as near to it as
asked for. It depends on the edge alone, and on neither of its two directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from landloom.raster.antimeridian import TURN

PLACES = (0.25, 0.5, 0.75)
"""Where an edge is looked at; at its middle alone a curve that bends both ways would go unseen."""

MOST = 2**22
"""Pieces that are looked at together. Edges that come to more lie where a projection runs off."""

ASTRAY = 0.25
"""Share of an edge's length by which a place may lie off along it; one beyond has gone the other
way round the Earth."""


@dataclass(frozen=True, slots=True)
class _Edges:
    """Edges, or pieces of them; all arrays have one row each."""

    number: NDArray[np.int64]
    """Of the whole edge."""
    at: NDArray[np.float64]
    """Where the piece begins, as a share of the whole edge."""
    share: float
    """Its length, as a share of the whole edge."""
    begin: NDArray[np.float64]
    """(n, 2): x, y."""
    end: NDArray[np.float64]

    def halves(self, chosen: NDArray[np.bool_]) -> _Edges:
        """Return the halves of some."""
        begin, end = self.begin[chosen], self.end[chosen]
        middle, half = (begin + end) / 2, self.share / 2
        at = self.at[chosen]
        return _Edges(
            np.concatenate([self.number[chosen]] * 2),
            np.concatenate([at, at + half]),
            half,
            np.concatenate([begin, middle]),
            np.concatenate([middle, end]),
        )


def bent(
    xy: NDArray[np.float64], joined: NDArray[np.bool_], to_degrees: Transformer, tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return further points of edges, so that they may be straight in degrees.

    Args:
        xy: (n, 2): points in the plane.
        joined: (n - 1,): whether an edge goes from a point to the next.
        to_degrees: From the plane to longitude and latitude.
        tolerance: How far an edge may lie beside its place, in units of the plane. No piece becomes
            shorter, so an edge through a pole ends its search there.

    Returns:
        (m, 2) x, y, and (m,) the point of `xy` that each comes after, ascending; points of one edge
        follow one another.
    """
    number = np.flatnonzero(joined)
    edges = _Edges(number, np.zeros(len(number)), 1.0, xy[number], xy[number + 1])
    found: list[_Edges] = []
    while True:
        bend = _bends(edges, to_degrees, tolerance)
        if not bend.any() or bend.sum() > MOST:
            break
        edges = edges.halves(bend)
        found.append(edges)
    if not found:
        return np.empty((0, 2)), np.empty(0, np.int64)
    # The second half of a cut begins at the new point.
    second = [slice(len(each.number) // 2, None) for each in found]
    pairs = list(zip(found, second, strict=True))
    number = np.concatenate([each.number[part] for each, part in pairs])
    order = np.lexsort((np.concatenate([each.at[part] for each, part in pairs]), number))
    return np.concatenate([each.begin[part] for each, part in pairs])[order], number[order]


def _bends(edges: _Edges, to_degrees: Transformer, tolerance: float) -> NDArray[np.bool_]:
    """Return which edges are too far from what is straight in degrees; those without a place not.

    Longitude goes the short way: where the edge goes the long one, it strays and is cut.
    """
    lon0, lat0 = to_degrees.transform(*edges.begin.T)
    lon1, lat1 = to_degrees.transform(*edges.end.T)

    def back(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(to_degrees.transform(lon, lat, direction="INVERSE"), axis=1)

    with np.errstate(invalid="ignore", divide="ignore"):
        step = (lon1 - lon0 + TURN / 2) % TURN - TURN / 2
        # A plane may go on beyond the antimeridian and come back a turn away: so does its edge.
        begin = back(lon0, lat0)
        along = back(lon1, lat1) - begin
        length = np.hypot(*along.T)
        bend = np.zeros(len(length), bool)
        for place in PLACES:
            off = back(lon0 + place * step, lat0 + place * (lat1 - lat0)) - (begin + place * along)
            beside = np.abs(along[:, 0] * off[:, 1] - along[:, 1] * off[:, 0]) / length
            ahead = np.abs((along * off).sum(axis=1)) / length
            bend |= (beside > tolerance) | (ahead > ASTRAY * length)
        known = np.isfinite(lon0 + lat0 + lon1 + lat1)
    long = np.hypot(*(edges.end - edges.begin).T) > tolerance
    found: NDArray[np.bool_] = bend & known & long
    return found
