"""The output grid: an AOI becomes a GeoBox on the pixel lattice of its CRS, cut into tiles.

The lattice of a CRS at resolution r is anchored to the CRS origin: pixel column gx covers x in
[gx*r, (gx+1)*r), pixel row gy covers y in [-(gy+1)*r, -gy*r], so gy grows southward. Two AOIs in
one CRS therefore share pixels, and nothing computed from (gy, gx) depends on how work was cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from shapely.geometry.base import BaseGeometry

from landloom.errors import InvalidInput

METRES_PER_DEGREE = 2 * math.pi * 6378137 / 360
"""Length of one degree of the WGS 84 equator; it turns metres into degrees for geographic CRSs."""

SNAP_TOLERANCE = 1e-6
"""Pixels. A bound this close to a lattice line lies on it: reprojection noise adds no pixel."""

MAX_SIDE = 8_000_000
"""Pixels. Twice the equator at 10 m: a longer side means that a projection ran off to infinity."""

TINY_DEGREES = 1e-6
"""A tenth of a metre. A geometry no longer than this needs no densifying."""

DENSIFY_PARTS = 256
"""An AOI edge as long as the AOI is cut into this many parts before it is reprojected."""


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open rectangle of pixels; it may reach beyond the array it is about."""

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def empty(self) -> bool:
        """Whether no pixel is in it."""
        return self.y1 <= self.y0 or self.x1 <= self.x0

    def shifted(self, dy: int, dx: int) -> Window:
        """Return the window moved by (dy, dx) pixels."""
        return Window(self.y0 + dy, self.x0 + dx, self.y1 + dy, self.x1 + dx)

    def clipped(self, other: Window) -> Window:
        """Return what both windows cover; it may be empty."""
        return Window(
            max(self.y0, other.y0),
            max(self.x0, other.x0),
            min(self.y1, other.y1),
            min(self.x1, other.x1),
        )

    def slices(self) -> tuple[slice, slice]:
        """Return (rows, columns) for indexing an array that starts at pixel (0, 0)."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


@dataclass(frozen=True, slots=True)
class Tile:
    """Piece (iy, ix) of an array that was cut into squares; `window` is in array pixels."""

    iy: int
    ix: int
    window: Window


def geobox_for(geometry_4326: BaseGeometry, epsg: int | None, resolution: float) -> GeoBox:
    """Return the smallest GeoBox on the lattice that covers a geometry.

    Args:
        geometry_4326: Any non-empty geometry in EPSG:4326; smaller than a pixel is fine.
        epsg: The CRS of the grid; None is the UTM zone of the geometry's centroid.
        resolution: Pixel size in metres. In a geographic CRS it becomes degrees of the equator, in
            any other the unit of the CRS (metres of projection, not of the ground).

    Raises:
        InvalidInput: There is no such CRS, or the geometry has no place in it.
    """
    code = utm_epsg(geometry_4326) if epsg is None else epsg
    pixel = pixel_size(code, resolution)
    west, south, east, north = _projected_bounds(geometry_4326, code)
    gx0, gx1 = _snap(west / pixel, east / pixel)
    gy0, gy1 = _snap(-north / pixel, -south / pixel)
    if max(gy1 - gy0, gx1 - gx0) > MAX_SIDE:
        raise _no_place(geometry_4326, code)
    transform = Affine(pixel, 0, gx0 * pixel, 0, -pixel, -gy0 * pixel)
    return GeoBox((gy1 - gy0, gx1 - gx0), transform, f"EPSG:{code}")


def lattice_origin(geobox: Any) -> tuple[int, int]:
    """Return (gy0, gx0): the lattice index of the GeoBox's first pixel.

    Raises:
        InvalidInput: The GeoBox has non-square or rotated pixels, or lies off the lattice.
    """
    transform = geobox.affine
    pixel = transform.a
    gy, gx = -transform.f / pixel, transform.c / pixel
    square = math.isclose(transform.e, -pixel, rel_tol=1e-9) and transform.b == transform.d == 0
    aligned = abs(gy - round(gy)) < 1e-3 and abs(gx - round(gx)) < 1e-3  # noqa: PLR2004 - px
    if not (square and aligned):
        raise InvalidInput(
            f"The grid {tuple(transform)[:6]} is not on the pixel lattice of its CRS.",
            suggestion="Use square, north-up pixels whose corners are multiples of the pixel size.",
        )
    return round(gy), round(gx)


def tiles(shape_yx: tuple[int, int], size: int) -> Iterator[Tile]:
    """Yield the squares of `size` px that cut an array, row by row; the last may be smaller."""
    height, width = shape_yx
    for iy, y0 in enumerate(range(0, height, size)):
        for ix, x0 in enumerate(range(0, width, size)):
            yield Tile(iy, ix, Window(y0, x0, min(y0 + size, height), min(x0 + size, width)))


def tile_count(shape_yx: tuple[int, int], size: int) -> int:
    """Return how many tiles `tiles` yields."""
    return math.ceil(shape_yx[0] / size) * math.ceil(shape_yx[1] / size)


def utm_epsg(geometry_4326: BaseGeometry) -> int:
    """Return the EPSG code of the UTM zone of a geometry's centroid, MGRS exceptions included.

    Sentinel-2's tiles follow MGRS, where zone 32V is widened over Norway and 32X, 34X, 36X are
    dropped over Svalbard (NGA.SIG.0012, section 3).
    """
    centre = shapely.centroid(geometry_4326)
    lon, lat = (centre.x + 180) % 360 - 180, centre.y
    zone = int((lon + 180) // 6) + 1
    if 56 <= lat < 64 and 3 <= lon < 12:  # noqa: PLR2004 - Norway
        zone = 32
    elif 72 <= lat <= 84 and 0 <= lon < 42:  # noqa: PLR2004 - Svalbard
        zone = 31 + 2 * int(np.searchsorted([9, 21, 33], lon, side="right"))
    return (32600 if lat >= 0 else 32700) + zone


def pixel_size(epsg: int, resolution: float) -> float:
    """Return `resolution` metres in the unit of a CRS: degrees if it is geographic.

    Raises:
        InvalidInput: There is no such CRS.
    """
    return resolution / METRES_PER_DEGREE if _crs(epsg).is_geographic else resolution


def _crs(epsg: int) -> CRS:
    try:
        return CRS.from_epsg(epsg)
    except Exception as error:
        raise InvalidInput(
            f"There is no CRS EPSG:{epsg}.", suggestion="Pass an EPSG code as target_crs."
        ) from error


def _projected_bounds(geometry: BaseGeometry, epsg: int) -> tuple[float, float, float, float]:
    """Return (west, south, east, north); edges are densified, as straight lines turn to curves."""
    west, south, east, north = shapely.bounds(geometry)
    longest = max(east - west, north - south)
    # GEOS drops an outline without an area when it densifies: the corners are kept beside it.
    xy = shapely.get_coordinates(geometry)
    if longest > TINY_DEGREES:
        dense = shapely.segmentize(geometry, longest / DENSIFY_PARTS)
        xy = np.vstack([xy, shapely.get_coordinates(dense)])
    transformer = Transformer.from_crs("EPSG:4326", _crs(epsg), always_xy=True)
    x, y = transformer.transform(xy[:, 0], xy[:, 1])
    if not (len(xy) and np.isfinite(x).all() and np.isfinite(y).all()):
        raise _no_place(geometry, epsg)
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _snap(low: float, high: float) -> tuple[int, int]:
    """Return the lattice lines outside [low, high], both in pixels, at least one pixel apart."""
    first = math.floor(low + SNAP_TOLERANCE)
    return first, max(math.ceil(high - SNAP_TOLERANCE), first + 1)


def _no_place(geometry: BaseGeometry, epsg: int) -> InvalidInput:
    bounds = ", ".join(f"{value:.4f}" for value in shapely.bounds(geometry))
    return InvalidInput(
        f"The area of interest ({bounds}) has no place in EPSG:{epsg}.",
        suggestion="Choose a target_crs that covers it, or leave target_crs out.",
    )
