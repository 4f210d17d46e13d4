"""Tiles: the rectangles of UTM lattice that scenes over an area of interest fill."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import shapely
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from county.scene import RESOLUTION, Tile

LARGEST = 10980
"""Pixels along a tile, as in the Sentinel-2 tiling: larger areas become several scenes a date."""

SMALLEST = 512
"""Pixels along a tile: over less, clouds of kilometres would cover all or nothing."""

MARGIN_DEGREES = 0.01
"""About 1 km around the area: an output grid in another CRS is turned against the zone's."""

ZONE_DEGREES = 6


def read_area(path: Path) -> BaseGeometry:
    """Return the area of interest in EPSG:4326 as one geometry.

    Raises:
        SystemExit: The file holds no area.
    """
    frame = gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path)
    area = frame.to_crs(4326).union_all()
    if area.is_empty or area.area == 0:
        raise SystemExit(f"{path} holds no area.")
    return area


def cut_tiles(area: BaseGeometry) -> list[Tile]:
    """Return tiles that cover the bounding box of an area in EPSG:4326, zone by zone."""
    west, south, east, north = area.bounds
    box = shapely.box(
        west - MARGIN_DEGREES, south - MARGIN_DEGREES, east + MARGIN_DEGREES, north + MARGIN_DEGREES
    )
    return [tile for epsg, part in _parts(box) for tile in _cut(epsg, part)]


def _parts(box: BaseGeometry) -> Iterator[tuple[int, BaseGeometry]]:
    """Yield the EPSG code of each UTM zone and hemisphere with its part of the box."""
    west, south, east, north = box.bounds
    first = math.floor((west + 180) / ZONE_DEGREES) + 1
    last = math.floor((east + 180) / ZONE_DEGREES) + 1
    for zone in range(first, last + 1):
        left = (zone - 1) * ZONE_DEGREES - 180
        for base, bottom, top in ((32600, 0.0, 84.0), (32700, -80.0, 0.0)):
            cell = shapely.box(
                left - MARGIN_DEGREES, bottom, left + ZONE_DEGREES + MARGIN_DEGREES, top
            )
            part = box.intersection(cell)
            # What reaches into a zone by the margin alone belongs to its neighbour.
            inside = max(west + MARGIN_DEGREES, left) < min(
                east - MARGIN_DEGREES, left + ZONE_DEGREES
            ) and max(south, bottom) < min(north, top)
            if inside and part.area > 0:
                yield base + zone, part


def _cut(epsg: int, part: BaseGeometry) -> Iterator[Tile]:
    to_utm = Transformer.from_crs(4326, epsg, always_xy=True).transform
    # The sides of a box in degrees are curves in the zone.
    outline = shapely.transform(shapely.segmentize(part, 0.05), to_utm, interleaved=False)
    west, south, east, north = outline.bounds
    left, right = _span(west / RESOLUTION, east / RESOLUTION)
    top, bottom = _span(-north / RESOLUTION, -south / RESOLUTION)
    for number_y, row in enumerate(range(top, bottom, LARGEST)):
        for number_x, column in enumerate(range(left, right, LARGEST)):
            yield Tile(
                name=f"{epsg}-{number_y}{number_x}",
                epsg=epsg,
                column=column,
                row=row,
                width=min(LARGEST, right - column),
                height=min(LARGEST, bottom - row),
            )


def _span(first: float, last: float) -> tuple[int, int]:
    """Return whole even pixels, for those of 20 m, around a span of SMALLEST at least."""
    missing = max(0.0, SMALLEST - (last - first)) / 2
    return 2 * math.floor((first - missing) / 2), 2 * math.ceil((last + missing) / 2)
