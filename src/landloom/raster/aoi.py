"""The area of interest: a GeoParquet or GeoJSON file, or GeoJSON inline, as rows in EPSG:4326."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from landloom.errors import InvalidInput
from landloom.raster.store import objects
from landloom.wire.requests import Aoi

PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True, slots=True)
class AoiRow:
    """One geometry to work on; each gives one mosaic."""

    geometry: BaseGeometry
    """EPSG:4326, valid, not empty."""
    name: str


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
        frame = _read_file(aoi, objects.read_bytes(aoi))
    else:
        where = "the inline GeoJSON"
        frame = _from_geojson(where, aoi)
    rows = []
    for number, (geometry, name) in enumerate(zip(frame.geometry, _names(frame), strict=True)):
        if geometry is None or geometry.is_empty:
            raise InvalidInput(
                f"Row {number} of the area of interest ({where}) has no geometry.",
                suggestion="Remove the row or give it one.",
                field="aoi",
            )
        rows.append(AoiRow(_checked(geometry, f"row {number} of {where}"), name))
    if not rows:
        raise InvalidInput(
            f"The area of interest ({where}) has no rows.",
            suggestion="Pass at least one geometry.",
            field="aoi",
        )
    return rows


def _read_file(uri: str, data: bytes) -> Any:
    if data[:4] == PARQUET_MAGIC:
        try:
            frame = gpd.read_parquet(io.BytesIO(data))
        except Exception as error:
            raise InvalidInput(
                f"{uri} is Parquet but not GeoParquet: {error}",
                suggestion="Write it with geopandas' to_parquet.",
                field="aoi",
            ) from error
        return frame.to_crs(4326) if frame.crs is not None else frame
    try:
        document = json.loads(data)
    except ValueError as error:
        raise InvalidInput(
            f"{uri} is neither GeoParquet nor GeoJSON.",
            suggestion="Convert it, for example with geopandas.",
            field="aoi",
        ) from error
    return _from_geojson(uri, document)


def _from_geojson(where: str, document: Any) -> Any:
    """Return a GeoDataFrame in EPSG:4326; the old `crs` member is honoured where it stands."""
    try:
        features = _features(document)
        frame = gpd.GeoDataFrame(
            {"name": [_feature_name(feature) for feature in features]},
            geometry=[
                None if feature.get("geometry") is None else shape(feature["geometry"])
                for feature in features
            ],
            crs=document.get("crs", {}).get("properties", {}).get("name", "EPSG:4326"),
        )
        return frame.to_crs(4326)
    except Exception as error:
        raise InvalidInput(
            f"The area of interest ({where}) is not GeoJSON: {error}",
            suggestion="Pass a geometry, a Feature or a FeatureCollection.",
            field="aoi",
        ) from error


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
    """Return a valid two-dimensional geometry within the bounds of longitude and latitude."""
    flat = shapely.force_2d(geometry)
    if not flat.is_valid:
        flat = shapely.make_valid(flat)
    west, south, east, north = flat.bounds
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):  # noqa: PLR2004 - degrees
        raise InvalidInput(
            f"The area of interest ({where}) reaches ({west:.3f}, {south:.3f}, {east:.3f},"
            f" {north:.3f}), beyond longitude and latitude.",
            suggestion="Write its CRS into the file, or reproject it to EPSG:4326.",
            field="aoi",
        )
    return flat
