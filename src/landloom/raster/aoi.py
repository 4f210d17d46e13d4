"""The area of interest: a GeoParquet or GeoJSON file, or GeoJSON inline, as rows in EPSG:4326."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from pyproj import CRS, Transformer
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from landloom.errors import InvalidInput
from landloom.raster.antimeridian import has_jump, mended, wrapped
from landloom.raster.edges import bent
from landloom.raster.grid import Extent
from landloom.raster.store import objects
from landloom.wire.requests import Aoi

PARQUET_MAGIC = b"PAR1"

DEGREES = "EPSG:4326"

BEND_METRES = 0.1
"""How far an edge that was straight in a projected CRS may lie beside its place in degrees."""

MAX_LONGITUDE = 360.0
"""Degrees. Longitudes beyond 180 are those of places across the antimeridian."""


@dataclass(frozen=True, slots=True)
class AoiRow:
    """One geometry to work on; each gives one mosaic."""

    geometry: BaseGeometry
    """EPSG:4326, valid, not empty; longitudes within [-180, 180]."""
    name: str
    drawn: Extent | None = None
    """Its reach in the projected CRS that it was given in, if it was."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """What a file says."""

    geometries: list[BaseGeometry | None]
    names: list[str]
    crs: CRS | None

    def drawn(self, number: int) -> Extent | None:
        """Return how far a row, which is not empty, reaches in the CRS of the file."""
        geometry = self.geometries[number]
        if geometry is None or self.crs is None or self.crs.is_geographic:
            return None
        return Extent(self.crs, geometry.bounds)


def read_aoi(aoi: Aoi) -> list[AoiRow]:
    """Return the rows of an area of interest.

    Args:
        aoi: URL or path of a GeoParquet or GeoJSON file in any CRS, or a GeoJSON geometry,
            Feature or FeatureCollection in EPSG:4326.

    Raises:
        InvalidInput: There is nothing in it, or something that is no place on Earth.
        StoreProblem: The file cannot be read.
    """
    if isinstance(aoi, str):
        where = aoi
        said = _read_file(aoi, objects.read_bytes(aoi))
    else:
        where = "the inline GeoJSON"
        said = _from_geojson(where, aoi)
    rows = []
    for number, (geometry, name) in enumerate(zip(_in_degrees(said), said.names, strict=True)):
        if geometry is None or geometry.is_empty:
            raise InvalidInput(
                f"Row {number} of the area of interest ({where}) has no geometry.",
                suggestion="Remove the row or give it one.",
                field="aoi",
            )
        whole = _checked(geometry, f"row {number} of {where}")
        rows.append(AoiRow(whole, name, said.drawn(number)))
    if not rows:
        raise InvalidInput(
            f"The area of interest ({where}) has no rows.",
            suggestion="Pass at least one geometry.",
            field="aoi",
        )
    return rows


def _read_file(uri: str, data: bytes) -> _Rows:
    if data[:4] == PARQUET_MAGIC:
        import geopandas as gpd  # noqa: PLC0415 - 50 MB that GeoJSON does without

        try:
            frame = gpd.read_parquet(io.BytesIO(data))
        except Exception as error:
            raise InvalidInput(
                f"{uri} is Parquet but not GeoParquet: {error}",
                suggestion="Write it with geopandas' to_parquet.",
                field="aoi",
            ) from error
        return _Rows(list(frame.geometry), _names(frame), frame.crs)
    try:
        document = json.loads(data)
    except ValueError as error:
        raise InvalidInput(
            f"{uri} is neither GeoParquet nor GeoJSON.",
            suggestion="Convert it, for example with geopandas.",
            field="aoi",
        ) from error
    return _from_geojson(uri, document)


def _from_geojson(where: str, document: Any) -> _Rows:
    """Return rows; the old `crs` member is honoured where it stands."""
    try:
        features = _features(document)
        geometries = [
            None if feature.get("geometry") is None else shape(feature["geometry"])
            for feature in features
        ]
        crs = CRS(document.get("crs", {}).get("properties", {}).get("name", DEGREES))
        return _Rows(geometries, [_feature_name(each) for each in features], crs)
    except Exception as error:
        raise InvalidInput(
            f"The area of interest ({where}) is not GeoJSON: {error}",
            suggestion="Pass a geometry, a Feature or a FeatureCollection.",
            field="aoi",
        ) from error


def _in_degrees(rows: _Rows) -> list[BaseGeometry | None]:
    """Return the geometries in EPSG:4326; those without a CRS are taken to be so.

    An edge that is straight in a projected CRS is not so in degrees: it gets further points. They
    tell which way it goes where it crosses the antimeridian, and how it goes round a pole.
    """
    crs = rows.crs
    if crs is None or crs == CRS(DEGREES):
        return rows.geometries
    to_degrees = Transformer.from_crs(crs, DEGREES, always_xy=True)
    tolerance = BEND_METRES / crs.axis_info[0].unit_conversion_factor if crs.axis_info else 0.0

    def moved(geometry: BaseGeometry) -> BaseGeometry:
        return shapely.transform(geometry, to_degrees.transform, interleaved=False)

    def bent_and_moved(geometry: BaseGeometry | None) -> BaseGeometry | None:
        if geometry is None or geometry.is_empty or crs.is_geographic:
            return None if geometry is None else moved(geometry)
        degrees = moved(_bent(shapely.force_2d(geometry), to_degrees, tolerance))
        return mended(degrees) if np.isfinite(degrees.bounds).all() else degrees

    return [bent_and_moved(geometry) for geometry in rows.geometries]


def _bent(geometry: BaseGeometry, to_degrees: Transformer, tolerance: float) -> BaseGeometry:
    """Return a geometry of a projected CRS with the points that its edges need in degrees."""
    if isinstance(geometry, shapely.GeometryCollection):
        parts = [_bent(part, to_degrees, tolerance) for part in geometry.geoms]
        return shapely.GeometryCollection(parts)
    if shapely.get_dimensions(geometry) == 0:
        return geometry
    kind, xy, (starts, *further) = shapely.to_ragged_array([geometry])
    joined = np.ones(len(xy) - 1, bool)
    joined[starts[1:-1] - 1] = False
    points, after = bent(xy, joined, to_degrees, tolerance)
    xy = np.insert(xy, after + 1, points, axis=0)
    starts = starts + np.searchsorted(after, starts)
    whole: BaseGeometry = shapely.from_ragged_array(kind, xy, (starts, *further))[0]
    return whole


def _features(document: Any) -> list[Mapping[str, Any]]:
    if not isinstance(document, Mapping):
        raise TypeError("it is not an object")
    kind = document.get("type")
    if kind == "FeatureCollection":
        return list(document["features"])
    if kind == "Feature":
        return [document]
    return [{"geometry": document, "properties": {}}]


def _feature_name(feature: Mapping[str, Any]) -> str:
    properties = feature.get("properties") or {}
    return str(properties.get("name") or properties.get("NAME") or feature.get("id") or "")


def _names(frame: Any) -> list[str]:
    column = next((name for name in frame.columns if str(name).lower() == "name"), None)
    if column is None:
        return [""] * len(frame)
    return ["" if value is None else str(value) for value in frame[column]]


def _checked(geometry: BaseGeometry, where: str) -> BaseGeometry:
    """Return a valid two-dimensional geometry with longitudes within [-180, 180].

    What reaches beyond 180 degrees east or west is taken for a place across the antimeridian and
    split there.
    """
    flat = shapely.force_2d(geometry)
    _check_bounds(flat, where)
    if has_jump(flat):
        raise InvalidInput(
            f"An edge of the area of interest ({where}) spans more than 180 degrees of longitude:"
            " it may mean the short way, across the antimeridian, or the long one.",
            suggestion="Write longitudes beyond 180 (179 to 181), or split the area at 180 degrees"
            " as RFC 7946 asks, or, for the long way, put a point in the middle of the edge.",
            field="aoi",
        )
    valid = flat if flat.is_valid else shapely.make_valid(flat)
    return wrapped(valid)


def _check_bounds(geometry: BaseGeometry, where: str) -> None:
    """Hold coordinates against longitude and latitude.

    Raises:
        InvalidInput: They are no place on Earth, or latitude stands before longitude.
    """
    west, south, east, north = geometry.bounds
    if -MAX_LONGITUDE <= west <= east <= MAX_LONGITUDE and -90 <= south <= north <= 90:  # noqa: PLR2004 - degrees
        return
    reach = f"({west:.3f}, {south:.3f}, {east:.3f}, {north:.3f})"
    if -90 <= west <= east <= 90 and -MAX_LONGITUDE <= south <= north <= MAX_LONGITUDE:  # noqa: PLR2004 - degrees
        raise InvalidInput(
            f"The area of interest ({where}) reaches {reach}: latitude seems to stand before"
            " longitude.",
            suggestion="Swap them: GeoJSON and GeoParquet write longitude (x) first.",
            field="aoi",
        )
    raise InvalidInput(
        f"The area of interest ({where}) reaches {reach}, beyond longitude and latitude.",
        suggestion="Write its CRS into the file, or reproject it to EPSG:4326.",
        field="aoi",
    )
