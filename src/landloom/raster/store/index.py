"""The mosaic index: a GeoParquet file with one row per mosaic store."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import geopandas as gpd
import numpy as np
from shapely.geometry.base import BaseGeometry

from landloom.errors import StoreProblem
from landloom.raster.store import objects
from landloom.wire.results import MosaicRow


def write_index(
    uri: str,
    rows: Sequence[MosaicRow],
    geometries: Sequence[BaseGeometry],
    *,
    datasets: Sequence[str] = (),
    start: datetime | None = None,
    end: datetime | None = None,
) -> None:
    """Write an index: GeoParquet 1.1 in EPSG:4326 that geopandas and Sedona open alike.

    Args:
        uri: Where, by convention ending in `.parquet`.
        rows: One per store; their order is kept.
        geometries: The AOI of each row, EPSG:4326.
        datasets: Names of the datasets that were asked for.
        start: Start of the window.
        end: End of the window, exclusive.

    Raises:
        StoreProblem: It cannot be written.
    """
    columns: dict[str, Any] = {
        "id": list(range(len(rows))),
        "location": [row.location for row in rows],
        "crs": [row.crs for row in rows],
        "datasets": [list(datasets) for _ in rows],
        "start": np.array([_utc(start)] * len(rows), "datetime64[us]"),
        "end": np.array([_utc(end)] * len(rows), "datetime64[us]"),
        "shape": [list(row.shape_yx) for row in rows],
        "bands": [list(row.bands) for row in rows],
        "bounds": [list(row.bbox) for row in rows],
        "valid_fraction": [row.valid_fraction for row in rows],
    }
    frame = gpd.GeoDataFrame(columns, geometry=list(geometries), crs="EPSG:4326")
    frame["valid_fraction"] = frame["valid_fraction"].astype("float64")
    for column in ("start", "end"):
        frame[column] = frame[column].dt.tz_localize("UTC")
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, schema_version="1.1.0", write_covering_bbox=True)
    objects.write_bytes(uri, buffer.getvalue())


def read_index(uri: str) -> list[MosaicRow]:
    """Return the rows of an index; one that others wrote needs no more than `location`.

    Raises:
        StoreProblem: There is none, or it has no column `location`.
    """
    try:
        frame = gpd.read_parquet(io.BytesIO(objects.read_bytes(uri)))
        locations = frame["location"]
    except (ValueError, KeyError, OSError) as error:
        raise StoreProblem(
            f"{uri} is not a mosaic index: {error}",
            suggestion="Pass what build_mosaics returned, or a GeoParquet file with a column"
            " location.",
        ) from error
    bounds = frame.to_crs(4326).geometry.bounds.to_numpy().tolist()
    return [
        MosaicRow.model_validate(
            {
                "location": str(location),
                "crs": str(_value(frame, place, "crs", "")),
                "shape_yx": [int(size) for size in _value(frame, place, "shape", (0, 0))],
                "bbox": [float(side) for side in _value(frame, place, "bounds", bounds[place])],
                "bands": [str(band) for band in _value(frame, place, "bands", ())],
                "valid_fraction": _fraction(_value(frame, place, "valid_fraction", None)),
            }
        )
        for place, location in enumerate(locations)
    ]


def _utc(moment: datetime | None) -> str:
    """Return a moment as numpy reads it: in UTC, without a zone."""
    if moment is None:
        return "NaT"
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat()


def _value(frame: Any, place: int, column: str, default: Any) -> Any:
    return frame[column].iloc[place] if column in frame.columns else default


def _fraction(value: Any) -> float | None:
    """Return a number; a missing one is NaN in a column of numbers."""
    return None if value is None or value != value else float(value)  # noqa: PLR0124 - NaN
