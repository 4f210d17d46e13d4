"""Write part files: shapes become rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from landloom.errors import Cancelled
from landloom.raster.execute.base import AskCancelled
from landloom.raster.store.geoparquet import GeoParquetFolder, bounds_column
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize.config import VectorizeConfig
from landloom.raster.vectorize.project import Projection
from landloom.raster.vectorize.spill import Stretch

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
    folder: GeoParquetFolder

    @classmethod
    def of(
        cls, source: CubeStore, config: VectorizeConfig, projection: Projection, uri: str
    ) -> Self:
        """Make the writer of a vectorization."""
        kind = "MultiPolygon" if projection.multipart else "Polygon"
        further = STATISTICS if config.stats else ()
        return cls(source, config, projection, GeoParquetFolder(uri, projection.crs, kind, further))

    def write(self, part: Part, cancelled: AskCancelled) -> int:
        """Write a part and return how many rows it has."""
        counter = _Counter()
        self.folder.write_part(part.number, self._row_groups(part, cancelled, counter))
        return counter.rows

    def _row_groups(
        self, part: Part, cancelled: AskCancelled, counter: _Counter
    ) -> Iterator[dict[str, pa.Array]]:
        for stretch in part.stretches:
            if cancelled():
                raise Cancelled("The vectorization was cancelled.")
            batch = stretch.read()
            feature, _ = self.config.thresholds[stretch.layer.feature_index]
            time = self.source.times[stretch.layer.time_index].astype("datetime64[us]")
            for start in range(0, len(batch), ROW_GROUP_ROWS):
                rows = (
                    batch
                    if len(batch) <= ROW_GROUP_ROWS
                    else batch.taken(np.arange(start, min(start + ROW_GROUP_ROWS, len(batch))))
                )
                found = self.projection.geometries(rows.shapes)
                counter.rows += len(rows)
                yield {
                    "geometry": found.wkb,
                    "time": pa.array(np.full(len(rows), time)),
                    "label": pa.repeat(feature, len(rows)),
                    "bbox": bounds_column(found.bounds),
                    **{name: pa.array(column) for name, column in rows.columns.items()},
                }


@dataclass(slots=True)
class _Counter:
    rows: int = 0
