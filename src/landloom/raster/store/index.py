"""The mosaic index: a GeoParquet file with one row per mosaic store."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import shapely
from pyproj import CRS
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
    # Not before it is needed: pixels are made without Arrow's 40 MB.
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    from landloom.raster.store.geoparquet import bounds_column, geo_metadata  # noqa: PLC0415

    count, moment = len(rows), pa.timestamp("us", "UTC")
    columns = {
        "id": pa.array(range(count), pa.int64()),
        "location": pa.array([row.location for row in rows], pa.string()),
        "crs": pa.array([row.crs for row in rows], pa.string()),
        "datasets": pa.array([list(datasets)] * count, pa.list_(pa.string())),
        "start": pa.array([_utc(start)] * count, moment),
        "end": pa.array([_utc(end)] * count, moment),
        "shape": pa.array([list(row.shape_yx) for row in rows], pa.list_(pa.int64())),
        "bands": pa.array([list(row.bands) for row in rows], pa.list_(pa.string())),
        "bounds": pa.array([list(row.bbox) for row in rows], pa.list_(pa.float64())),
        "valid_fraction": pa.array([row.valid_fraction for row in rows], pa.float64()),
        "geometry": pa.array([geometry.wkb for geometry in geometries], pa.binary()),
        "bbox": bounds_column(shapely.bounds(list(geometries)).reshape(-1, 4)),
    }
    # Areas are kept as they were given: of any type, wound either way.
    geo = geo_metadata(CRS("EPSG:4326"), "", wound=False)
    table = pa.table(columns).replace_schema_metadata({b"geo": json.dumps(geo).encode()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    objects.write_bytes(uri, buffer.getvalue())


def read_index(uri: str) -> list[MosaicRow]:
    """Return the rows of an index; one that others wrote needs no more than `location`.

    Raises:
        StoreProblem: There is none, or it has no column `location`.
    """
    import geopandas as gpd  # noqa: PLC0415 - as above

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


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


def _value(frame: Any, place: int, column: str, default: Any) -> Any:
    return frame[column].iloc[place] if column in frame.columns else default


def _fraction(value: Any) -> float | None:
    """Return a number; a missing one is NaN in a column of numbers."""
    return None if value is None or value != value else float(value)  # noqa: PLR0124 - NaN
