"""Write polygons as GeoParquet 1.1: a folder of part files, straight from Arrow.

Readers take the folder as one table: `geopandas.read_parquet(uri)`, Sedona's
`format("geoparquet").load(uri)`, DuckDB's `read_parquet('uri/*.parquet')`. Every part declares the
CRS and a bbox covering, so that a reader can skip what lies elsewhere.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from obstore.exceptions import BaseError
from pyproj import CRS

from landloom.errors import StoreProblem
from landloom.raster.store import objects

VERSION = "1.1.0"

COMPRESSION = "snappy"
"""zstd saves a tenth of coordinates in degrees, nothing of round ones, for twice the time."""

BBOX_FIELDS = ("xmin", "ymin", "xmax", "ymax")

REPEATED = ["time", "label"]
"""Columns of few values, which are worth a dictionary."""

BBOX_TYPE = pa.struct([(name, pa.float64()) for name in BBOX_FIELDS])


@dataclass(frozen=True)
class GeoParquetFolder:
    """A folder of part files with columns geometry, time, label, bbox and further ones."""

    uri: str
    crs: CRS
    geometry_type: str
    """`Polygon`, `MultiPolygon` or `LineString`; empty where it is not known before."""
    further: tuple[tuple[str, pa.DataType], ...] = ()
    """Names and types of columns after bbox."""
    metadata: Mapping[bytes, bytes] = field(default_factory=dict)
    """What the file says besides `geo`."""

    @property
    def schema(self) -> pa.Schema:
        """The schema of every part, with the `geo` metadata."""
        fields = [
            ("geometry", pa.binary()),
            ("time", pa.timestamp("us")),
            ("label", pa.string()),
            ("bbox", BBOX_TYPE),
            *self.further,
        ]
        geo = json.dumps(geo_metadata(self.crs, self.geometry_type)).encode()
        return pa.schema(fields, {b"geo": geo, **self.metadata})

    def write_part(self, number: int, row_groups: Iterable[Mapping[str, pa.Array]]) -> None:
        """Write one part; it appears at once or not at all.

        Args:
            number: From 0, without gaps over all parts.
            row_groups: The columns of one row group after the other; none makes an empty part.

        Raises:
            StoreProblem: It cannot be written.
        """
        schema = self.schema
        with tempfile.TemporaryDirectory(prefix="landloom-part-") as folder:
            path = Path(folder) / "part.parquet"
            with pq.ParquetWriter(
                path,
                schema,
                compression=COMPRESSION,
                use_dictionary=REPEATED,
                write_statistics=self._compared(),
            ) as writer:
                for columns in row_groups:
                    writer.write_table(pa.table(dict(columns), schema=schema))
            self._upload(path, part_name(number))

    def remove_beyond(self, parts: int) -> None:
        """Delete what an earlier, larger writing of this folder left behind.

        Raises:
            StoreProblem: It cannot be deleted.
        """
        keep = {part_name(number) for number in range(parts)}
        for uri in list(objects.list_objects(self.uri)):
            name = uri.rsplit("/", 1)[-1]
            if not name.startswith("part-") or name in keep:
                continue
            location = objects.resolve(uri)
            try:
                obstore.delete(location.store, location.path)
            except (BaseError, OSError) as error:
                raise StoreProblem(
                    f"Cannot delete {uri}, a left-over of an earlier run: {error}",
                    suggestion="Delete it by hand, or choose another output.",
                ) from error

    def _compared(self) -> list[str]:
        """Return the columns a reader can skip row groups by: not the geometries' bytes."""
        leaves = [f"bbox.{name}" for name in BBOX_FIELDS]
        return ["time", "label", *leaves, *(name for name, _ in self.further)]

    def _upload(self, path: Path, name: str) -> None:
        location = objects.resolve(self.uri).joined(name)
        try:
            obstore.put(location.store, location.path, path)
        except (BaseError, OSError) as error:
            raise StoreProblem(
                f"Cannot write {location.uri}: {error}",
                suggestion="Check that the bucket exists and may be written.",
            ) from error


def part_name(number: int) -> str:
    """Return the file name of a part."""
    return f"part-{number:05d}.parquet"


def bounds_column(bounds: NDArray[np.float64]) -> pa.StructArray:
    """Return (n, 4) xmin, ymin, xmax, ymax as the column that the covering points to."""
    columns = [pa.array(np.ascontiguousarray(column)) for column in bounds.T]
    return pa.StructArray.from_arrays(columns, fields=list(BBOX_TYPE))


def geo_metadata(crs: CRS, geometry_type: str, *, wound: bool = True) -> dict[str, Any]:
    """Return the file metadata of GeoParquet 1.1.0 for a table with one geometry column.

    Args:
        crs: Of the geometries.
        geometry_type: Of all of them; empty for any.
        wound: Whether outer rings are known to run counterclockwise.
    """
    column = {
        "encoding": "WKB",
        "geometry_types": [geometry_type] if geometry_type else [],
        "crs": crs.to_json_dict(),
        "edges": "planar",
        "covering": {"bbox": {name: ["bbox", name] for name in BBOX_FIELDS}},
    }
    if wound:
        column["orientation"] = "counterclockwise"
    return {"version": VERSION, "primary_column": "geometry", "columns": {"geometry": column}}
