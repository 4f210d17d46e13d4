"""Rows become GeoJSON features, a line each, as tippecanoe reads them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import date
from typing import IO, Any

import shapely

LARGEST_LATITUDE = 85.0511
"""Degrees: where web Mercator ends."""

LARGEST_LONGITUDE = 180.0


def write_features(
    file: IO[str],
    geometries: Iterable[Any],
    attributes: Iterable[Mapping[str, Any]],
    layers: Iterable[str],
    ids: Iterable[int | None],
) -> int:
    """Write features, a line each, and return how many.

    Rows without a geometry are left out.

    Args:
        file: Where to.
        geometries: Shapely geometries in longitude and latitude.
        attributes: What each feature says.
        layers: The layer of each.
        ids: The number of each, or None.

    Raises:
        ValueError: A geometry reaches beyond the map.
    """
    count = 0
    for geometry, said, layer, number in zip(geometries, attributes, layers, ids, strict=True):
        if geometry is None or geometry.is_empty:
            continue
        check_place(geometry.bounds)
        head = {
            "type": "Feature",
            **({} if number is None else {"id": number}),
            "tippecanoe": {"layer": layer},
            "properties": {name: plain(value) for name, value in said.items()},
        }
        text = json.dumps(head, allow_nan=False)
        file.write(f'{text[:-1]}, "geometry": {shapely.to_geojson(geometry)}}}\n')
        count += 1
    return count


def check_place(bounds: tuple[float, float, float, float]) -> None:
    """Hold bounds in degrees against what a map can show.

    Raises:
        ValueError: They reach beyond it.
    """
    west, south, east, north = bounds
    if south < -LARGEST_LATITUDE or north > LARGEST_LATITUDE:
        raise ValueError(
            f"a geometry reaches from latitude {south:.4f} to {north:.4f}: tiles end at"
            f" {LARGEST_LATITUDE} north and south; is it in longitude and latitude (EPSG:4326)?"
        )
    if west < -LARGEST_LONGITUDE or east > LARGEST_LONGITUDE:
        raise ValueError(
            f"a geometry reaches from longitude {west:.4f} to {east:.4f}: is it in longitude and"
            " latitude (EPSG:4326)?"
        )


def plain(value: Any) -> Any:
    """Return a value as JSON can say it; what it cannot say is said as text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if hasattr(value, "item") and not hasattr(value, "isoformat"):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):  # a timestamp is one
        return str(value) if value == value else None  # noqa: PLR0124 - NaT is not
    return str(value)
