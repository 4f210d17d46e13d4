"""Vectorize a prediction: from a store to a GeoParquet folder.

Tiles are polygonized in any order, cut areas are merged by `seams`, finished shapes go to the
`spill`, and parts are written from it in an order that depends on the shapes alone. So the folder
holds the same rows in the same order for any tile size and any number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyproj import CRS

from landloom.errors import Cancelled, InvalidInput
from landloom.raster.execute.base import AskCancelled, Executor
from landloom.raster.grid import Tile, tile_count, tiles
from landloom.raster.journal import Report
from landloom.raster.store.geoparquet import GeoParquetFolder, bounds_column
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize.config import VectorizeConfig
from landloom.raster.vectorize.project import Projection
from landloom.raster.vectorize.seams import SeamMerger
from landloom.raster.vectorize.spill import Layer, Spill
from landloom.raster.vectorize.tile import Seams, TilePolygons, polygonize_tile

ROW_GROUP_ROWS = 65_536
"""Rows a row group: small enough for a reader to skip by bbox, large enough to compress."""

LARGEST_TILE = 4096
"""Pixels. Larger shards, of foreign stores, are read in pieces."""

STATISTICS = (
    ("score_mean", pa.float64()),
    ("score_min", pa.float32()),
    ("score_max", pa.float32()),
    ("score_std", pa.float64()),
    ("score_count", pa.int64()),
)


@dataclass(frozen=True, slots=True)
class PolygonizeTask:
    """One tile of one layer: pure and restartable."""

    source: CubeStore
    time_index: int
    feature: str
    threshold: float
    tile: Tile
    seams: Seams
    stats: bool
    connectivity: int


def polygonize_task(task: PolygonizeTask, cancelled: AskCancelled) -> TilePolygons:
    """Read a tile of one band and find the areas at or above the threshold."""
    _stop_if(cancelled)
    scores = task.source.read(task.time_index, [task.feature], task.tile.window)[0]
    values = (scores >= np.float32(task.threshold)).astype(np.uint8)
    return polygonize_tile(
        values,
        np.ascontiguousarray(scores) if task.stats else None,
        origin_yx=(task.tile.window.y0, task.tile.window.x0),
        seams=task.seams,
        connectivity=task.connectivity,
    )


def vectorize_mosaic(
    source: CubeStore,
    config: VectorizeConfig,
    output_uri: str,
    target_crs: int,
    *,
    executor: Executor,
    report: Report,
    cancelled: AskCancelled,
    tile_size: int | None = None,
) -> tuple[str, int]:
    """Write the areas of each feature at each time step as polygons.

    Args:
        source: A prediction.
        config: Features, thresholds and ways; see `VectorizeConfig.parse`.
        output_uri: Folder to write, by convention ending in `.parquet`.
        target_crs: EPSG code of the polygons.
        executor: Runs the tiles.
        report: Is told how far it has come.
        cancelled: Asked between tiles.
        tile_size: Pixels; None takes the shards. The result does not depend on it.

    Returns:
        The folder's URI and how many polygons are in it.

    Raises:
        InvalidInput: The source has no such feature, or there is no such CRS.
        StoreProblem: Reading or writing failed.
        Cancelled: `cancelled` said so; the folder is not whole.
    """
    features = [feature for feature, _ in config.thresholds]
    _check_features(source, features)
    projection = Projection(source.geobox, _crs(target_crs), config.connectivity != 4)  # noqa: PLR2004
    size = tile_size or min(source.shard, LARGEST_TILE)
    with Spill(source.shape_yx) as spill:
        _polygonize(source, config, size, spill, executor, report, cancelled)
        folder = GeoParquetFolder(
            output_uri,
            projection.crs,
            "MultiPolygon" if projection.multipart else "Polygon",
            STATISTICS if config.stats else (),
        )
        parts = spill.parts() or [[]]
        writing = _PartWriting(source, features, projection, spill, folder)
        numbered = list(enumerate(parts))
        for done, _ in enumerate(executor.map(writing.write, numbered, cancelled), start=1):
            report("vectorize", "Writing polygons", done, len(parts))
        folder.remove_beyond(len(parts))
        return output_uri, spill.rows


@dataclass(frozen=True, slots=True)
class _PartWriting:
    """Writes part files from the spill."""

    source: CubeStore
    features: list[str]
    projection: Projection
    spill: Spill
    folder: GeoParquetFolder

    def write(self, part: tuple[int, list[int]], cancelled: AskCancelled) -> None:
        """Write part `number` from its cells."""
        _stop_if(cancelled)
        number, cells = part
        self.folder.write_part(number, self._row_groups(cells))

    def _row_groups(self, cells: list[int]) -> Iterator[dict[str, pa.Array]]:
        for layer in self.spill.layers(cells):
            table = self.spill.read(cells, layer)
            time = self.source.times[layer.time_index].astype("datetime64[us]")
            for start in range(0, table.num_rows, ROW_GROUP_ROWS):
                rows = table.slice(start, ROW_GROUP_ROWS).combine_chunks()
                found = self.projection.geometries(rows["parts"].combine_chunks())
                count = rows.num_rows
                columns = {
                    "geometry": found.wkb,
                    "time": pa.array(np.full(count, time)),
                    "label": pa.repeat(self.features[layer.feature_index], count),
                    "bbox": bounds_column(found.bounds),
                }
                scores = {name: rows[name] for name, _ in STATISTICS if name in rows.column_names}
                yield columns | scores


def _polygonize(
    source: CubeStore,
    config: VectorizeConfig,
    size: int,
    spill: Spill,
    executor: Executor,
    report: Report,
    cancelled: AskCancelled,
) -> None:
    """Bring the shapes of all layers to the spill."""
    per_layer = tile_count(source.shape_yx, size)
    total, done = per_layer * len(source.times) * len(config.thresholds), 0
    for time_index in range(len(source.times)):
        for feature_index, (feature, _) in enumerate(config.thresholds):
            layer = Layer(time_index, feature_index)
            merger = SeamMerger(config.connectivity)
            tasks = _tasks(source, config, layer, size)
            for task, polygons in executor.map(polygonize_task, tasks, cancelled):
                spill.add(layer, polygons.closed)
                merger.add(task.tile, polygons.open)
                if merger.due():
                    spill.add(layer, merger.drain())
                done += 1
                report("vectorize", f"Tracing {feature}", done, total)
            spill.add(layer, merger.drain())


def _tasks(
    source: CubeStore, config: VectorizeConfig, layer: Layer, size: int
) -> Iterator[PolygonizeTask]:
    height, width = source.shape_yx
    feature, threshold = config.thresholds[layer.feature_index]
    for tile in tiles(source.shape_yx, size):
        window = tile.window
        seams = Seams(window.y0 > 0, window.y1 < height, window.x0 > 0, window.x1 < width)
        yield PolygonizeTask(
            source,
            layer.time_index,
            feature,
            threshold,
            tile,
            seams,
            config.stats,
            config.connectivity,
        )


def _check_features(source: CubeStore, features: list[str]) -> None:
    missing = [feature for feature in features if feature not in source.bands]
    if missing:
        raise InvalidInput(
            f"{source.uri} has no band {', '.join(map(repr, missing))}.",
            suggestion=f"Its bands are {', '.join(source.bands)}.",
            field="features",
        )


def _crs(epsg: int) -> CRS:
    try:
        return CRS.from_epsg(epsg)
    except Exception as error:
        raise InvalidInput(
            f"There is no CRS EPSG:{epsg}.",
            suggestion="Pass an EPSG code as target_crs.",
            field="target_crs",
        ) from error


def _stop_if(cancelled: AskCancelled) -> None:
    if cancelled():
        raise Cancelled("The vectorization was cancelled.")
