"""Write part files: shapes become rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from pyproj import CRS

from landloom.errors import Cancelled
from landloom.raster.execute.base import AskCancelled
from landloom.raster.store.geoparquet import GeoParquetFolder, bounds_column
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize import fiboa
from landloom.raster.vectorize.batch import Batch
from landloom.raster.vectorize.config import VectorizeConfig
from landloom.raster.vectorize.project import Projection
from landloom.raster.vectorize.refine import refined
from landloom.raster.vectorize.shaping import middle_metres
from landloom.raster.vectorize.skeleton import centre_lines
from landloom.raster.vectorize.spill import Layer, Stretch

ROW_GROUP_ROWS = 65_536
"""Rows a row group: small enough for a reader to skip by bbox, large enough to compress."""

STATISTICS = (
    ("score_mean", pa.float64()),
    ("score_min", pa.float32()),
    ("score_max", pa.float32()),
    ("score_std", pa.float64()),
    ("score_count", pa.int64()),
)


@dataclass(frozen=True, slots=True)
class Part:
    """One part file, and what goes into it."""

    number: int
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True)
class PartWriter:
    """Writes parts, each independently of the others."""

    source: CubeStore
    config: VectorizeConfig
    projection: Projection
    degrees: Projection
    """The way to longitude and latitude."""
    folder: GeoParquetFolder

    @classmethod
    def of(cls, source: CubeStore, config: VectorizeConfig, crs: CRS, uri: str) -> Self:
        """Make the writer of a vectorization."""
        crosses = Projection(source.geobox, crs).crosses_antimeridian
        multipart = config.connectivity != 4 or crosses  # noqa: PLR2004
        kind = "MultiPolygon" if multipart else "Polygon"
        if config.medial_skeletonize:
            kind = "" if crosses else "LineString"  # lines that are cut become several
        further = (STATISTICS if config.stats else ()) + (fiboa.COLUMNS if config.fiboa else ())
        return cls(
            source,
            config,
            Projection(source.geobox, crs, multipart),
            Projection(source.geobox, CRS.from_epsg(4326)),
            GeoParquetFolder(uri, crs, kind, further, fiboa.METADATA if config.fiboa else {}),
        )

    def write(self, part: Part, cancelled: AskCancelled) -> int:
        """Write a part and return how many rows it has."""
        rows = 0

        def row_groups() -> Iterator[dict[str, pa.Array]]:
            nonlocal rows
            for layer, batch in self._batches(part, cancelled):
                rows += len(batch)
                yield self._columns(layer, batch)

        self.folder.write_part(part.number, row_groups())
        return rows

    def _batches(self, part: Part, cancelled: AskCancelled) -> Iterator[tuple[Layer, Batch]]:
        """Yield the rows of each row group."""
        for stretch in part.stretches:
            if cancelled():
                raise Cancelled("The vectorization was cancelled.")
            batch = self._finished(stretch)
            if len(batch) <= ROW_GROUP_ROWS:
                if len(batch):
                    yield stretch.layer, batch
                continue
            for start in range(0, len(batch), ROW_GROUP_ROWS):
                end = min(start + ROW_GROUP_ROWS, len(batch))
                yield stretch.layer, batch.taken(np.arange(start, end))

    def _finished(self, stretch: Stretch) -> Batch:
        batch = stretch.read()
        if stretch.shaping is None:
            batch = refined(batch, self.config, self.degrees)
        if not self.config.medial_skeletonize:
            return batch
        ground = middle_metres(self.source, self.degrees)
        return centre_lines(batch, self.source.shape_yx, self.config.simplify_m, ground)

    def _columns(self, layer: Layer, rows: Batch) -> dict[str, Any]:
        feature, _ = self.config.thresholds[layer.feature_index]
        time = self.source.times[layer.time_index].astype("datetime64[us]")
        found = self.projection.geometries(rows.shapes, lines=self.config.medial_skeletonize)
        columns = {
            "geometry": found.wkb,
            "time": pa.array(np.full(len(rows), time)),
            "label": pa.repeat(feature, len(rows)),
            "bbox": bounds_column(found.bounds),
            **{name: pa.array(column) for name, column in rows.columns.items()},
        }
        if self.config.fiboa:
            outlines, degrees = self.degrees.outlines(rows.shapes)
            first = rows.names() + self.projection.origin.astype(np.int64)
            columns |= fiboa.columns(outlines, first, degrees, feature, time)
        return columns
