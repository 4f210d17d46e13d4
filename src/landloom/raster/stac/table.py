"""GeoParquet tables of places: the rows that meet a place and a time, read without the rest.

STAC items (stac-geoparquet) and tile indexes (GTI) are such tables. Row groups whose bounding boxes
or times cannot fit are not read: a table of a whole continent costs what its rows here cost. Where
a file has no bounding boxes, its geometries are all read and tried.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import and_, or_
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from shapely.geometry.base import BaseGeometry

from landloom.errors import StoreProblem
from landloom.raster.antimeridian import HALF_TURN, mended
from landloom.raster.store import objects
from landloom.raster.store.ranged import open_object

CORNERS = ("xmin", "ymin", "xmax", "ymax")

GEOMETRY = "geometry"

type Span = tuple[datetime, datetime]
"""From, to; half-open, UTC."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table."""

    columns: dict[str, Any]
    """Values by column, without the geometry."""
    geometry: BaseGeometry
    """EPSG:4326, split at the antimeridian."""


def read_rows(
    href: str, place: BaseGeometry, *, time_column: str | None = None, span: Span | None = None
) -> list[Row]:
    """Return the rows that meet a place, and a time where one is given, in the file's order.

    Args:
        href: A GeoParquet file, or a folder of parts: local, http or s3.
        place: EPSG:4326.
        time_column: Column of timestamps, dates or years; rows without a value stay.
        span: When; None is always.

    Raises:
        StoreProblem: A file cannot be read, or is no GeoParquet.
    """
    shapely.prepare(place)
    return [row for part in _parts(href) for row in _read_part(part, place, time_column, span)]


def column_names(href: str) -> list[str]:
    """Return the names of a table's columns, without the geometry and its bounding boxes.

    Raises:
        StoreProblem: The file cannot be read, or is no GeoParquet.
    """
    uri = _parts(href)[0]
    with open_object(uri) as file, _parquet_errors(uri):
        schema = pq.ParquetFile(file).schema_arrow
    layout = _layout(uri, schema)
    boxes = {path[0] for path in (layout.covering or {}).values()}
    return [name for name in schema.names if name != layout.geometry and name not in boxes]


def _parts(href: str) -> list[str]:
    """Return the files of a table: itself, or the visible `.parquet` files of a folder."""
    path = objects.local_path(href)
    folder = href.endswith("/") if path is None else path.is_dir()
    if not folder and path is None and href.startswith("s3://"):
        folder = not objects.exists(href)
    if not folder:
        return [href]
    found = [
        uri
        for uri in objects.list_objects(href)
        if uri.endswith(".parquet") and not _hidden(uri.removeprefix(href))
    ]
    if not found:
        raise StoreProblem(
            f"There is no GeoParquet at {href}.", suggestion="Name a file or a folder of parts."
        )
    return sorted(found)


def _hidden(path: str) -> bool:
    return any(part[:1] in {"_", "."} for part in path.strip("/").split("/"))


def _read_part(
    uri: str, place: BaseGeometry, time_column: str | None, span: Span | None
) -> Iterator[Row]:
    """Yield the rows of one file that fit."""
    with open_object(uri) as file, _parquet_errors(uri):
        footer = pq.ParquetFile(file).schema_arrow
        layout = _layout(uri, footer)
        wanted = [
            _meets(layout, place),
            None if span is None else _within(footer, time_column, span),
        ]
        expression = [each for each in wanted if each is not None]
        file.seek(0)
        table = pq.read_table(
            file, filters=reduce(and_, expression) if expression else None, partitioning=None
        )
    geometries = _geometries(uri, table, layout)
    inside = shapely.intersects(geometries, place)
    table = table.filter(pa.array(inside))
    values = table.drop_columns([layout.geometry]).to_pylist()
    singles = _single_floats(table)
    for row, geometry in zip(values, geometries[inside], strict=True):
        for name in singles:
            row[name] = None if row[name] is None else float(str(np.float32(row[name])))
        yield Row(row, geometry)


@dataclass(frozen=True, slots=True)
class _Layout:
    """What a file's `geo` metadata says of its geometries."""

    geometry: str
    """Name of the column."""
    crs: Any
    """PROJJSON; None is longitude and latitude."""
    covering: dict[str, tuple[str, ...]] | None
    """Where the bounding boxes are, by corner; None where there are none."""


def _layout(uri: str, schema: pa.Schema) -> _Layout:
    """Return where the geometries are.

    Raises:
        StoreProblem: There are none, or they are not WKB.
    """
    told = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
    name = told.get("primary_column", GEOMETRY)
    if name not in schema.names:
        raise StoreProblem(
            f"{uri} is Parquet but not GeoParquet: it has no column {name!r}.",
            suggestion="Write it with geopandas' to_parquet.",
        )
    about = told.get("columns", {}).get(name, {})
    if about.get("encoding", "WKB") != "WKB":
        raise StoreProblem(
            f"The geometries of {uri} are written as {about['encoding']}, not as WKB.",
            suggestion="Write it with geopandas' to_parquet, geometry_encoding='WKB'.",
        )
    covering = about.get("covering", {}).get("bbox")
    if (
        covering is None
        and "bbox" in schema.names
        and pa.types.is_struct(schema.field("bbox").type)
    ):
        inner = schema.field("bbox").type
        known = all(inner.get_field_index(corner) >= 0 for corner in CORNERS)
        covering = {corner: ("bbox", corner) for corner in CORNERS} if known else None
    return _Layout(
        name,
        None if _is_degrees(about.get("crs")) else about["crs"],
        None if covering is None else {key: tuple(path) for key, path in covering.items()},
    )


def _is_degrees(crs: Any) -> bool:
    """Tell whether a `crs` of GeoParquet means longitude and latitude; so does a missing one."""
    return (
        crs is None
        or CRS.from_user_input(crs).equals("OGC:CRS84", ignore_axis_order=True)
        or (CRS.from_user_input(crs).equals("EPSG:4326", ignore_axis_order=True))
    )


def _meets(layout: _Layout, place: BaseGeometry) -> pc.Expression | None:
    """Return the condition that a bounding box meets the place; a file may have none."""
    if layout.covering is None or layout.crs is not None:
        return None
    xmin, ymin, xmax, ymax = (pc.field(*layout.covering[corner]) for corner in CORNERS)
    conditions = []
    for west, south, east, north in shapely.bounds(shapely.get_parts(place)):
        plain = (xmin <= east) & (xmax >= west)
        # RFC 7946: the box of what crosses the antimeridian goes from east to west.
        across = (xmin > 0) & (xmax < 0) & ((xmin <= east) | (xmax >= west))
        conditions.append((plain | across) & (ymin <= north) & (ymax >= south))
    return reduce(or_, conditions)


def _within(schema: pa.Schema, column: str | None, span: Span) -> pc.Expression | None:
    """Return the condition that a row's time lies in the span, as far as its type can tell."""
    if column is None or column not in schema.names:
        return None
    kind, (low, high), field = schema.field(column).type, span, pc.field(column)
    if pa.types.is_timestamp(kind):
        naive = [moment.astimezone(UTC).replace(tzinfo=None) for moment in span]
        first, last = (
            pa.scalar(moment if kind.tz is None else moment.replace(tzinfo=UTC), kind)
            for moment in naive
        )
        inside = (field >= first) & (field < last)
    elif pa.types.is_date(kind):
        first, last = pa.scalar(low.date(), kind), pa.scalar(high.date(), kind)
        inside = (field >= first) & (field <= last)
    elif pa.types.is_integer(kind):
        inside = (field >= low.year) & (field <= (high - timedelta(microseconds=1)).year)
    else:
        return None
    return inside | field.is_null()


def _geometries(uri: str, table: pa.Table, layout: _Layout) -> NDArray[np.object_]:
    """Return a table's geometries in EPSG:4326."""
    column = table.column(layout.geometry).combine_chunks()
    storage = column.storage if isinstance(column.type, pa.BaseExtensionType) else column
    try:
        found: NDArray[np.object_] = shapely.from_wkb(storage.to_numpy(zero_copy_only=False))
    except shapely.errors.GEOSException as error:
        raise StoreProblem(f"A geometry of {uri} is not WKB: {error}") from error
    if layout.crs is not None:
        transformer = Transformer.from_crs(layout.crs, "EPSG:4326", always_xy=True)
        found = shapely.transform(found, transformer.transform, interleaved=False)
    bounds = shapely.bounds(found)
    wide = (bounds[:, 2] - bounds[:, 0] > HALF_TURN) | (np.abs(bounds[:, ::2]) > HALF_TURN).any(1)
    for number in np.flatnonzero(wide):
        found[number] = mended(found[number])
    return found


def _single_floats(table: pa.Table) -> list[str]:
    """Return the columns of single precision: 0.6 there means 0.6, not 0.60000002384."""
    return [field.name for field in table.schema if pa.types.is_float32(field.type)]


@contextmanager
def _parquet_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise StoreProblem(
            f"Cannot read {uri} as GeoParquet: {reason}",
            suggestion="Write it with geopandas' to_parquet.",
        ) from error
