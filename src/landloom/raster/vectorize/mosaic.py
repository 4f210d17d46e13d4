"""Vectorize a prediction: from a store to a GeoParquet folder.

Tiles are polygonized in any order, cut areas are merged by `seams`, finished shapes go to the
`spill`, and parts are written from it in an order that depends on the shapes alone. So the folder
holds the same rows in the same order for any tile size and any number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landloom.errors import Cancelled
from landloom.raster.execute.base import AskCancelled, Executor
from landloom.raster.grid import Tile, tile_count, tiles
from landloom.raster.journal import Report
from landloom.raster.memory import return_free_memory
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize.config import VectorizeConfig
from landloom.raster.vectorize.kept import KeptTiles, Place
from landloom.raster.vectorize.part import Part, PartWriter
from landloom.raster.vectorize.project import output_crs
from landloom.raster.vectorize.seams import SeamMerger
from landloom.raster.vectorize.shaping import simplified, split_all
from landloom.raster.vectorize.spill import Layer, Spill, Stretch
from landloom.raster.vectorize.tile import Seams, TilePolygons, polygonize_tile
from landloom.raster.vectorize.tiles import write_tiles
from landloom.raster.vectortiles.tippecanoe import find_tippecanoe
from landloom.wire.progress import Stage

TRACED_BEFORE = "Traced before this start"
"""What is reported for tiles that a vectorization finds when it goes on."""

TIDY_EVERY = 8
"""Tiles. Arrays of all sizes leave gaps, which would grow with the number of tiles."""

LARGEST_TILE = 1024
"""Pixels. A whole 2048-px shard at once was no faster and took four times the memory."""


@dataclass(frozen=True, slots=True)
class PolygonizeTask:
    """One tile at one time: pure and restartable."""

    source: CubeStore
    time_index: int
    tile: Tile
    seams: Seams
    config: VectorizeConfig
    kept: KeptTiles
    traced: bool = False
    """Whether an earlier start has traced it."""


def polygonize_task(task: PolygonizeTask, cancelled: AskCancelled) -> list[TilePolygons]:
    """Read a tile's bands and find the areas at or above the threshold of each feature."""
    _stop_if(cancelled)
    if task.traced:
        return task.kept.get(task.time_index, task.tile)
    found = _traced(task)
    task.kept.put(task.time_index, task.tile, found)
    return found


def _traced(task: PolygonizeTask) -> list[TilePolygons]:
    features = [feature for feature, _ in task.config.thresholds]
    bands = task.source.read(task.time_index, features, task.tile.window)
    return [
        _polygonized(task, scores, threshold)
        for scores, (_, threshold) in zip(bands, task.config.thresholds, strict=True)
    ]


def vectorize_mosaic(  # noqa: PLR0913 - what a workflow has to say
    source: CubeStore,
    config: VectorizeConfig,
    output_uri: str,
    target_crs: int,
    *,
    executor: Executor,
    report: Report,
    warn: Callable[[Stage, str], None],
    cancelled: AskCancelled,
    tile_size: int | None = None,
) -> tuple[str, int]:
    """Write the areas of each feature at each time step as polygons.

    Tiles that are traced are kept with the output until it is whole, so a vectorization that was
    ended goes on where it was.

    Args:
        source: A prediction.
        config: Features, thresholds and ways; see `VectorizeConfig.parse`.
        output_uri: Folder to write, by convention ending in `.parquet`.
        target_crs: EPSG code of the polygons.
        executor: Runs the tiles.
        report: Is told how far it has come.
        warn: Is told what the user should know.
        cancelled: Asked between tiles.
        tile_size: Pixels; None takes the usual. The result does not depend on it.

    Returns:
        The folder's URI and how many polygons are in it.

    Raises:
        InvalidInput: The source has no such feature, or there is no such CRS.
        StoreProblem: Reading or writing failed.
        Cancelled: `cancelled` said so; the folder is not whole.
    """
    source.require_bands([feature for feature, _ in config.thresholds], "features")
    if config.pmtiles:
        find_tippecanoe()  # a missing program is told before the work, not after it
    writer = PartWriter.of(source, config, output_crs(target_crs), output_uri)
    size = tile_size or min(source.shard, LARGEST_TILE)
    kept = KeptTiles.of(output_uri, source, config, size)
    work = _Vectorizing(source, config, writer, kept, size, executor, report, warn, cancelled)
    with ExitStack() as stack:
        rows = work.write(work.shape(work.trace(stack), stack))
    kept.clear()
    if config.pmtiles:
        report("vectorize", "Making vector tiles")
        write_tiles(output_uri)
    return output_uri, rows


@dataclass(frozen=True, slots=True)
class _Vectorizing:
    """One vectorization in work: its steps, each after the one before it."""

    source: CubeStore
    config: VectorizeConfig
    writer: PartWriter
    kept: KeptTiles
    size: int
    """Pixels a side of a tile."""
    executor: Executor
    report: Report
    warn: Callable[[Stage, str], None]
    cancelled: AskCancelled

    def trace(self, stack: ExitStack) -> Spill:
        """Return the shapes of all layers, on the disk until the stack is left."""
        spill = stack.enter_context(Spill(self.source.shape_yx))
        steps = len(self.source.times)
        total, done = tile_count(self.source.shape_yx, self.size) * steps, 0
        traced = self.kept.places()
        for time_index in range(steps):
            mergers = [SeamMerger(self.config.connectivity) for _ in self.config.thresholds]
            layers = [Layer(time_index, index) for index in range(len(mergers))]
            tasks = self._tasks(time_index, traced)
            for task, found in self.executor.map(polygonize_task, tasks, self.cancelled):
                for layer, merger, polygons in zip(layers, mergers, found, strict=True):
                    spill.add(layer, polygons.closed)
                    merger.add(task.tile, polygons.open)
                    if merger.due():
                        spill.add(layer, merger.drain())
                done += 1
                if done % TIDY_EVERY == 0:
                    return_free_memory()
                how = TRACED_BEFORE if task.traced else "Tracing polygons"
                self.report("vectorize", how, done, total)
            for layer, merger in zip(layers, mergers, strict=True):
                spill.add(layer, merger.drain())
        return spill

    def shape(self, spill: Spill, stack: ExitStack) -> list[list[Stretch]]:
        """Return the parts to write: touching fields split, outlines simplified, as asked for."""
        degrees, source, config = self.writer.degrees, self.source, self.config
        common = self.report, self.warn, self.cancelled
        if config.watershed:
            split = split_all(spill, source, config, degrees, self.executor, *common)
            spill = stack.enter_context(split)
        parts, workers = spill.parts() or [[]], self.executor.workers
        return stack.enter_context(
            simplified(parts, source, config, degrees, workers, self.report, self.cancelled)
        )

    def write(self, parts: list[list[Stretch]]) -> int:
        """Write the parts and return how many rows they have."""
        tasks = (Part(number, tuple(stretches)) for number, stretches in enumerate(parts))
        written = self.executor.map(self.writer.write, tasks, self.cancelled)
        rows = 0
        for done, (_, count) in enumerate(written, start=1):
            rows += count
            return_free_memory()
            self.report("vectorize", "Writing polygons", done, len(parts))
        self.writer.folder.remove_beyond(len(parts))
        return rows

    def _tasks(self, time_index: int, traced: Collection[Place]) -> Iterator[PolygonizeTask]:
        height, width = self.source.shape_yx
        for tile in tiles(self.source.shape_yx, self.size):
            window = tile.window
            seams = Seams(window.y0 > 0, window.y1 < height, window.x0 > 0, window.x1 < width)
            before = (time_index, tile.iy, tile.ix) in traced
            yield PolygonizeTask(
                self.source, time_index, tile, seams, self.config, self.kept, before
            )


def _polygonized(
    task: PolygonizeTask, scores: NDArray[np.float32], threshold: float
) -> TilePolygons:
    values = (scores >= np.float32(threshold)).view(np.uint8)
    return polygonize_tile(
        values,
        np.ascontiguousarray(scores) if task.config.stats else None,
        origin_yx=(task.tile.window.y0, task.tile.window.x0),
        seams=task.seams,
        connectivity=task.config.connectivity,
    )


def _stop_if(cancelled: AskCancelled) -> None:
    if cancelled():
        raise Cancelled("The vectorization was cancelled.")
