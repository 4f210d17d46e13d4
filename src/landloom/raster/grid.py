"""The output grid: an AOI becomes a GeoBox on the pixel lattice of its CRS, cut into tiles.

The lattice of a CRS at resolution r is anchored to the CRS origin: pixel column gx covers x in
[gx*r, (gx+1)*r), pixel row gy covers y in [-(gy+1)*r, -gy*r], so gy grows southward. Two AOIs in
one CRS therefore share pixels, and nothing computed from (gy, gx) depends on how work was cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from shapely.geometry.base import BaseGeometry

from landloom.errors import InvalidInput
from landloom.raster.antimeridian import HALF_TURN, enclosed, unwrapped

METRES_PER_DEGREE = 2 * math.pi * 6378137 / 360
"""Length of one degree of the WGS 84 equator; it turns metres into degrees for geographic CRSs.

10 m are 8.983153e-5 degrees. The published global field product has pixels of 8.98311982e-5 (an
older ellipsoid's equator) that begin at (-180, 83.748345): 2003758.2 and 932285.7 of its pixels
from the CRS origin. So no lattice anchored to the origin meets that grid, whatever the constant,
and the exact one stays. To stand on that grid, resample the product's or ours.
"""

DRAWN_TOLERANCE = 1.0
"""Units of a CRS, an arm's length. Bounds that an area was drawn with and those that it comes to by
way of degrees differ by less, unless one of them lies a turn round the Earth further on."""

SNAP_TOLERANCE = 1e-6
"""Pixels. A bound this close to a lattice line lies on it: reprojection noise adds no pixel."""

MAX_SIDE = 8_000_000
"""Pixels. Twice the equator at 10 m: a longer side means that a projection ran off to infinity."""

TINY_DEGREES = 1e-6
"""A tenth of a metre. A geometry no longer than this needs no densifying."""

CONTINUOUS = 1e-3
"""Units of a CRS. Where 180 and -180 degrees lie no further apart, it goes on across them."""

DENSIFY_PARTS = 256
"""An AOI edge as long as the AOI is cut into this many parts before it is reprojected."""

DENSIFY_DEGREES = 0.05
"""No part is longer. Around a pole an edge of a parallel so long bulges by 0.1 m at 10 degrees."""

FOOTPRINT_PARTS = 32
"""Into so many parts a grid's side is cut before it becomes a curve in degrees."""

UTM_NORTH, UTM_SOUTH = 84.0, -80.0
"""Degrees of latitude between which UTM is defined."""

UPS_NORTH, UPS_SOUTH = 32661, 32761
"""Universal Polar Stereographic on WGS 84."""

NAD83_ZONES = 23
"""NAD83 has UTM zones 1 to 23 north (EPSG:26901 to 26923)."""

type UtmDatum = Literal["WGS84", "NAD83"]


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


@dataclass(frozen=True, slots=True)
class Extent:
    """How far an area reaches in the CRS that it was drawn in."""

    crs: CRS
    bounds: tuple[float, float, float, float]
    """West, south, east, north."""

    def __str__(self) -> str:
        return f"{self.crs.to_string()} {self.bounds}"


def geobox_for(
    geometry_4326: BaseGeometry,
    epsg: int | None,
    resolution: float,
    datum: UtmDatum = "WGS84",
    drawn: Extent | None = None,
) -> GeoBox:
    """Return the smallest GeoBox on the lattice that covers a geometry.

    Args:
        geometry_4326: Any non-empty geometry in EPSG:4326; smaller than a pixel is fine.
        epsg: The CRS of the grid; None is the native one: see `native_epsg`.
        resolution: Pixel size in metres. In a geographic CRS it becomes degrees of the equator, in
            any other the unit of the CRS (metres of projection, not of the ground).
        datum: Of the native CRS.
        drawn: See `snapped_geobox`.

    Raises:
        InvalidInput: There is no such CRS, or the geometry has no place in it.
    """
    code = native_epsg(geometry_4326, datum) if epsg is None else epsg
    name = f"EPSG:{code}"
    return snapped_geobox(geometry_4326, name, pixel_size(name, resolution), drawn)


def snapped_geobox(
    geometry_4326: BaseGeometry, crs: str, pixel: float, drawn: Extent | None = None
) -> GeoBox:
    """Return the smallest GeoBox on the lattice of a CRS that covers a geometry.

    A geometry that crosses the antimeridian has a grid in any CRS that goes on there (UTM zones 1
    and 60, polar ones); in one that ends there (EPSG:4326, EPSG:3857) no single grid can hold it
    but one around the whole Earth, which is refused.

    Args:
        geometry_4326: Any non-empty geometry in EPSG:4326.
        crs: An EPSG code (`EPSG:32633`) or WKT.
        pixel: Pixel size in units of the CRS.
        drawn: The geometry's reach in the CRS that it was given in. If that is the grid's, it is
            taken as it is: a box on lattice lines has its very grid.

    Raises:
        InvalidInput: There is no such CRS, or the geometry has no place in it.
    """
    found = _projected_bounds(geometry_4326, crs)
    if drawn is not None and drawn.crs == plane_crs(crs):
        alike = np.allclose(found, drawn.bounds, rtol=0, atol=DRAWN_TOLERANCE)
        found = drawn.bounds if alike else found
    west, south, east, north = found
    gx0, gx1 = _snap(west / pixel, east / pixel)
    gy0, gy1 = _snap(-north / pixel, -south / pixel)
    if max(gy1 - gy0, gx1 - gx0) > MAX_SIDE:
        raise _no_place(geometry_4326, crs)
    transform = Affine(pixel, 0, gx0 * pixel, 0, -pixel, -gy0 * pixel)
    return GeoBox((gy1 - gy0, gx1 - gx0), transform, crs)


def footprint(geobox: Any) -> BaseGeometry:
    """Return a grid's outline in EPSG:4326, split at the antimeridian; a pole may lie inside."""
    height, width = (int(side) for side in geobox.shape)
    along = np.linspace(0, 1, FOOTPRINT_PARTS, endpoint=False)
    zero, one = np.zeros(FOOTPRINT_PARTS), np.ones(FOOTPRINT_PARTS)
    columns = np.concatenate([along, one, 1 - along, zero]) * width
    rows = np.concatenate([zero, along, one, 1 - along]) * height
    transform = geobox.affine
    transformer = Transformer.from_crs(geobox.crs.proj, "EPSG:4326", always_xy=True)
    lon, lat = transformer.transform(
        transform.a * columns + transform.b * rows + transform.c,
        transform.d * columns + transform.e * rows + transform.f,
    )
    return enclosed(np.asarray(lon), np.asarray(lat))


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


def patch_origin(geobox: Any) -> tuple[int, int]:
    """Return `lattice_origin`, or (0, 0) of a grid off the lattice: it has one of its own."""
    try:
        return lattice_origin(geobox)
    except InvalidInput:
        return 0, 0


def tiles(shape_yx: tuple[int, int], size: int) -> Iterator[Tile]:
    """Yield the squares of `size` px that cut an array, row by row; the last may be smaller."""
    height, width = shape_yx
    for iy, y0 in enumerate(range(0, height, size)):
        for ix, x0 in enumerate(range(0, width, size)):
            yield Tile(iy, ix, Window(y0, x0, min(y0 + size, height), min(x0 + size, width)))


def tile_count(shape_yx: tuple[int, int], size: int) -> int:
    """Return how many tiles `tiles` yields."""
    return math.ceil(shape_yx[0] / size) * math.ceil(shape_yx[1] / size)


def native_epsg(geometry_4326: BaseGeometry, datum: UtmDatum = "WGS84") -> int:
    """Return the EPSG code of the CRS in which imagery of a place is made.

    That is the UTM zone of the geometry's centroid, MGRS exceptions included: Sentinel-2's tiles
    follow MGRS, where zone 32V is widened over Norway and 32X, 34X, 36X are dropped over Svalbard
    (NGA.SIG.0012, section 3). North of 84 and south of 80 degrees, where UTM ends, it is Universal
    Polar Stereographic.

    Args:
        geometry_4326: The place; one that crosses the antimeridian is looked at as a whole.
        datum: NAD83 counts in the zones that it is defined for, 1 to 23 north; elsewhere WGS84.
    """
    centre = shapely.centroid(unwrapped(geometry_4326))
    lon, lat = (centre.x + 180) % 360 - 180, centre.y
    if lat > UTM_NORTH or lat < UTM_SOUTH:
        return UPS_NORTH if lat > 0 else UPS_SOUTH
    zone = int((lon + 180) // 6) + 1
    if 56 <= lat < 64 and 3 <= lon < 12:  # noqa: PLR2004 - Norway
        zone = 32
    elif 72 <= lat <= 84 and 0 <= lon < 42:  # noqa: PLR2004 - Svalbard
        zone = 31 + 2 * int(np.searchsorted([9, 21, 33], lon, side="right"))
    if datum == "NAD83" and lat >= 0 and zone <= NAD83_ZONES:
        return 26900 + zone
    return (32600 if lat >= 0 else 32700) + zone


def pixel_size(crs: str, resolution: float) -> float:
    """Return `resolution` metres in the unit of a CRS: degrees if it is geographic.

    Raises:
        InvalidInput: There is no such CRS.
    """
    return resolution / _metres_per_unit(crs)


def metres(crs: str, pixel: float) -> float:
    """Return a pixel size in the unit of a CRS as metres; the way back from `pixel_size`.

    Raises:
        InvalidInput: There is no such CRS.
    """
    return pixel * _metres_per_unit(crs)


def _metres_per_unit(crs: str) -> float:
    known = plane_crs(crs)
    if known.is_geographic:
        return METRES_PER_DEGREE
    return float(known.axis_info[0].unit_conversion_factor) if known.axis_info else 1.0


def plane_crs(crs: str) -> CRS:
    """Return a CRS that pixels and outlines can be in: projected or geographic.

    Raises:
        InvalidInput: There is none of this name, or it is of another kind.
    """
    try:
        known = CRS.from_user_input(crs)
    except Exception as error:
        raise InvalidInput(
            f"There is no CRS {crs}.",
            suggestion="Pass an EPSG code as target_crs.",
            field="target_crs",
        ) from error
    if not (known.is_projected or known.is_geographic):
        raise InvalidInput(
            f"{crs} ({known.name}) is no CRS of a plane: it is a {known.type_name}.",
            suggestion="Pass the EPSG code of a projected or geographic CRS as target_crs.",
            field="target_crs",
        )
    return known


def _projected_bounds(geometry: BaseGeometry, crs: str) -> tuple[float, float, float, float]:
    """Return (west, south, east, north); edges are densified, as straight lines turn to curves."""
    transformer = Transformer.from_crs("EPSG:4326", plane_crs(crs), always_xy=True)
    whole = unwrapped(geometry)
    if whole.bounds[2] > HALF_TURN:
        _check_goes_on(whole, transformer, crs)
    west, south, east, north = whole.bounds
    longest = max(east - west, north - south)
    # GEOS drops an outline without an area when it densifies: the corners are kept beside it.
    xy = shapely.get_coordinates(geometry)
    if longest > TINY_DEGREES:
        step = min(longest / DENSIFY_PARTS, DENSIFY_DEGREES)
        xy = np.vstack([xy, shapely.get_coordinates(shapely.segmentize(geometry, step))])
    x, y = transformer.transform(xy[:, 0], xy[:, 1])
    if not (len(xy) and np.isfinite(x).all() and np.isfinite(y).all()):
        raise _no_place(geometry, crs)
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _check_goes_on(whole: BaseGeometry, transformer: Transformer, crs: str) -> None:
    """Hold a CRS against an area across the antimeridian: does it go on there?

    Raises:
        InvalidInput: It ends there.
    """
    latitude = (whole.bounds[1] + whole.bounds[3]) / 2
    x, y = transformer.transform([HALF_TURN, -HALF_TURN], [latitude, latitude])
    if abs(x[0] - x[1]) + abs(y[0] - y[1]) > CONTINUOUS:
        bounds = ", ".join(f"{value:.4f}" for value in whole.bounds)
        raise InvalidInput(
            f"The area of interest ({bounds}) crosses the antimeridian, where {_short(crs)} ends:"
            " no single grid can hold it.",
            suggestion="Leave target_crs out: a UTM zone goes on there. Or make two rows of the"
            " area, one on each side of 180 degrees.",
        )


def _snap(low: float, high: float) -> tuple[int, int]:
    """Return the lattice lines outside [low, high], both in pixels, at least one pixel apart."""
    first = math.floor(low + SNAP_TOLERANCE)
    return first, max(math.ceil(high - SNAP_TOLERANCE), first + 1)


def _no_place(geometry: BaseGeometry, crs: str) -> InvalidInput:
    bounds = ", ".join(f"{value:.4f}" for value in shapely.bounds(geometry))
    return InvalidInput(
        f"The area of interest ({bounds}) has no place in {_short(crs)}.",
        suggestion="Choose a target_crs that covers it, or leave target_crs out.",
    )


def _short(crs: str) -> str:
    """Return a CRS as messages name it: WKT is many lines long."""
    return crs if crs.startswith("EPSG:") else plane_crs(crs).name
