"""Which scenes can touch a tile: so that its task carries and opens those and no others.

The choice may be too wide, never too narrow: tiles are widened by more than outlines are off, and a
tile whose place on the Earth is hard to tell gets every scene. A scene that is chosen in vain gives
no pixel, so pixels do not depend on the choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from landloom.raster.store.layout import crs_of

MARGIN_DEGREES = 0.05
"""Five kilometres: a catalogue's outlines are simplified, and pixels may reach beyond them."""

BULGE = 1 / 16
"""Of a tile's width squared, in degrees: how far its edges bend out between its corners at most.

A chord of d degrees is off its arc by d**2 * tan(latitude) / 8 radians; at MAX_LATITUDE the factor
is 28.6 / 8 / 57.3 per degree.
"""

MAX_LATITUDE = 88.0
MAX_WIDTH_DEGREES = 90.0
"""A tile beyond either has a place that a box of longitudes and latitudes does not describe."""

TURN = 360.0


class Choice:
    """The scenes that can touch each tile of a grid."""

    def __init__(self, geobox: Any, size: int, outlines: Sequence[BaseGeometry]) -> None:
        """Look at the grid and the outlines.

        Args:
            geobox: The grid.
            size: Pixels a side of a tile.
            outlines: Of the scenes, EPSG:4326, within [-180, 180] degrees.
        """
        self._count = len(outlines)
        self._tree = shapely.STRtree(list(outlines))
        self._west_south_east_north, self._described = _places(geobox, size)

    def rows(self) -> Iterator[list[NDArray[np.int64]]]:
        """Yield, row by row of tiles, the numbers of each tile's scenes, ascending."""
        for bounds, described in zip(self._west_south_east_north, self._described, strict=True):
            yield self._row(bounds, described)

    def _row(
        self, bounds: NDArray[np.float64], described: NDArray[np.bool_]
    ) -> list[NDArray[np.int64]]:
        west, south, east, north = bounds
        pairs = []
        for turn in (-TURN, 0.0, TURN):
            # A box that reaches beyond the antimeridian is looked for on its other side too.
            there = described & (west + turn <= TURN / 2) & (east + turn >= -TURN / 2)
            (places,) = np.nonzero(there)
            boxes = shapely.box(
                west[places] + turn, south[places], east[places] + turn, north[places]
            )
            found, scenes = self._tree.query(boxes, predicate="intersects")
            pairs.append(places[found] * self._count + scenes)
        known = np.unique(np.concatenate(pairs))
        starts = np.searchsorted(known, np.arange(len(described) + 1) * self._count)
        everything = np.arange(self._count)
        return [
            known[first:last] - place * self._count if sure else everything
            for place, (first, last, sure) in enumerate(
                zip(starts[:-1], starts[1:], described, strict=True)
            )
        ]


def _places(geobox: Any, size: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return (row, side, column) bounds of every tile, widened, and whether they can be trusted."""
    height, width = (int(side) for side in geobox.shape)
    columns = np.append(np.arange(0, width, size), width)
    rows = np.append(np.arange(0, height, size), height)
    x, y = np.meshgrid(columns, rows)
    to_degrees = Transformer.from_crs(crs_of(geobox), "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(*(geobox.affine @ (x, y)))
    lons = _corners(np.asarray(lon))
    lats = _corners(np.asarray(lat))
    # Longitudes as they lie round the first corner: a tile across the antimeridian is one box.
    with np.errstate(invalid="ignore"):
        lons = lons[0] + (lons - lons[0] + TURN / 2) % TURN - TURN / 2
        west, east = lons.min(axis=0), lons.max(axis=0)
        south, north = lats.min(axis=0), lats.max(axis=0)
        span = np.maximum(east - west, north - south)
        polar = np.maximum(np.abs(south), np.abs(north))
        described = (span < MAX_WIDTH_DEGREES) & (polar < MAX_LATITUDE)
        up = MARGIN_DEGREES + BULGE * span**2
        aside = up / np.cos(np.radians(np.minimum(polar, MAX_LATITUDE)))
        bounds = np.stack([west - aside, south - up, east + aside, north + up], axis=1)
    return bounds, described & np.isfinite(bounds).all(axis=1)


def _corners(nodes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (corner, row, column) of every tile, from the lattice of corners."""
    return np.stack([nodes[:-1, :-1], nodes[:-1, 1:], nodes[1:, :-1], nodes[1:, 1:]])
