"""From an area of interest to a finished mosaic: grid, scenes, one task a shard, one store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import shapely
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from landloom.errors import Cancelled, StoreProblem
from landloom.raster.aoi import AoiRow
from landloom.raster.catalog.dataset import Dataset
from landloom.raster.execute.base import Executor
from landloom.raster.grid import geobox_for, tiles
from landloom.raster.journal import Report
from landloom.raster.mosaic.read import shared_reader
from landloom.raster.mosaic.tile import (
    DEFAULT_SUBTILE,
    Layer,
    MosaicTask,
    OnError,
    TileReport,
    build_tile,
)
from landloom.raster.scenes import SceneTable, search_scenes, time_steps
from landloom.raster.store import objects
from landloom.raster.store.layout import crs_of
from landloom.raster.store.zarr import DEFAULT_CHUNK, DEFAULT_SHARD, CubeStore
from landloom.wire.progress import Stage
from landloom.wire.results import MosaicRow

FOOTPRINT_PARTS = 32
"""Into so many parts a grid's side is cut before it becomes a curve in degrees."""

VALID_FRACTION = "landloom:valid_fraction"
"""Attribute with the share of pixels that have a value in every band."""

MAX_WARNINGS = 20
"""Skipped rasters that are named one by one; more are counted."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How a mosaic is cut into work and storage, in pixels a side. Pixels do not depend on it."""

    shard: int = DEFAULT_SHARD
    subtile: int = DEFAULT_SUBTILE
    chunk: int = DEFAULT_CHUNK


@dataclass(frozen=True, slots=True)
class MosaicPlan:
    """What would be built: the grid and the scenes."""

    geobox: GeoBox
    tables: tuple[tuple[SceneTable, ...], ...]
    """Per time step, per dataset."""

    @property
    def scenes(self) -> dict[str, int]:
        """Scenes per dataset over all time steps."""
        counts: dict[str, int] = {}
        for step in self.tables:
            for table in step:
                counts[table.dataset] = counts.get(table.dataset, 0) + len(table)
        return counts


def plan_mosaic(
    datasets: Sequence[Dataset],
    row: AoiRow,
    start: datetime,
    end: datetime,
    target_crs: int | None,
) -> MosaicPlan:
    """Return the grid and the scenes of a mosaic.

    The search covers the whole grid, not the AOI's outline alone: a pixel in the grid's corner has
    the scenes that it would have in any other mosaic.

    Raises:
        InvalidInput: The AOI has no place in the target CRS.
        CatalogProblem: An item lacks an asset.
        Unavailable: A STAC API fails.
        StoreProblem: A static catalogue cannot be read.
    """
    geobox = geobox_for(row.geometry, target_crs, min(each.resolution for each in datasets))
    place = _footprint(geobox)
    tables = tuple(
        tuple(search_scenes(dataset, place, low, high) for dataset in datasets)
        for low, high in time_steps(start, end)
    )
    return MosaicPlan(geobox, tables)


def build_mosaic(  # noqa: PLR0913, PLR0917 - the front door: all that a mosaic depends on
    datasets: Sequence[Dataset],
    row: AoiRow,
    start: datetime,
    end: datetime,
    target_crs: int | None,
    output_uri: str,
    executor: Executor,
    report: Report,
    cancelled: Callable[[], bool],
    *,
    warn: Callable[[Stage, str], None] | None = None,
    sizes: Sizes = Sizes(),
    on_error: OnError = "raise",
) -> MosaicRow:
    """Build the mosaic of one AOI row; started again with the same arguments, it goes on.

    Args:
        datasets: Their bands stand side by side in the store, in this order.
        row: The area of interest.
        start: Start of the window.
        end: End of the window, exclusive; each further year is a time step.
        target_crs: EPSG code, or None for the UTM zone of the area's centre.
        output_uri: The store to write, ending in `.zarr`. The scene tables lie beside it.
        executor: Runs the tasks, one a shard.
        report: Told of every step.
        cancelled: Asked between sub-tiles.
        warn: Told what is not as expected; None leaves it to `report`.
        sizes: How the work is cut.
        on_error: What becomes of a raster that cannot be read after all retries.

    Returns:
        The row of the mosaic index. A window without imagery gives an empty mosaic and a warning.

    Raises:
        SceneReadFailed: A raster cannot be read and `on_error` is "raise".
        Cancelled: `cancelled` said so.
        StoreProblem: There is another mosaic at `output_uri`, or it cannot be written.
    """
    tell = warn or report
    report("search", f"Looking for scenes of {', '.join(each.name for each in datasets)}")
    plan = _frozen_plan(datasets, row, start, end, target_crs, output_uri)
    _report_scenes(plan, report, tell)
    store = _create(datasets, plan, output_uri, sizes)
    tasks = _tasks(store, datasets, plan, sizes, on_error)
    try:
        total = _run(store, tasks, executor, report, cancelled, tell)
    finally:
        shared_reader().forget()
    valid_fraction = total.valid_px / (store.shape_yx[0] * store.shape_yx[1] * len(store.times))
    found = {
        VALID_FRACTION: valid_fraction,
        "landloom:skipped_rasters": len(total.skipped),
    }
    return mosaic_row(store.finish(found), valid_fraction)


def mosaic_row(store: CubeStore, valid_fraction: float | None) -> MosaicRow:
    """Return a store as a row of a mosaic index."""
    epsg = crs_of(store.geobox).to_epsg()
    west, south, east, north = _footprint(store.geobox).bounds
    return MosaicRow(
        location=store.uri,
        crs=crs_of(store.geobox).to_wkt() if epsg is None else f"EPSG:{epsg}",
        shape_yx=store.shape_yx,
        bbox=(west, south, east, north),
        bands=list(store.bands),
        valid_fraction=valid_fraction,
    )


def _run(
    store: CubeStore,
    tasks: Sequence[MosaicTask],
    executor: Executor,
    report: Report,
    cancelled: Callable[[], bool],
    tell: Callable[[Stage, str], None],
) -> TileReport:
    """Compute the shards that are not there yet; return the sum of all reports."""
    there = store.finished_shards()
    todo = [task for task in tasks if _shard_key(task) not in there]
    finished = [task for task in tasks if _shard_key(task) in there]
    done = len(finished)
    total = TileReport(valid_px=_count_valid(store, finished))
    if done:
        report("mosaic", "Going on after the tiles that were finished before", done, len(tasks))
    for task, result in executor.map(partial(build_tile, cancelled=cancelled), todo):
        done += 1
        report("mosaic", _sentence(task, result), done, len(tasks))
        for sentence in result.skipped[: max(0, MAX_WARNINGS - len(total.skipped))]:
            tell("mosaic", f"Left out: {sentence}")
        total.valid_px += result.valid_px
        total.skipped += result.skipped
    if cancelled():
        raise Cancelled("The mosaic was cancelled.")
    if total.skipped:
        tell("mosaic", f"{len(total.skipped)} rasters could not be read and were left out")
    return total


def _footprint(geobox: GeoBox) -> BaseGeometry:
    """Return the grid's outline in EPSG:4326."""
    side = max(geobox.shape) * abs(geobox.affine.a)
    outline = geobox.extent.to_crs("EPSG:4326", resolution=side / FOOTPRINT_PARTS)
    geometry: BaseGeometry = outline.geom
    return geometry if geometry.is_valid else shapely.make_valid(geometry)


def _frozen_plan(
    datasets: Sequence[Dataset],
    row: AoiRow,
    start: datetime,
    end: datetime,
    target_crs: int | None,
    output_uri: str,
) -> MosaicPlan:
    """Return the plan that an earlier start wrote beside the store, or make and write it."""
    uri = f"{output_uri.rstrip('/').removesuffix('.zarr')}.scenes.json"
    if not objects.exists(uri):
        plan = plan_mosaic(datasets, row, start, end, target_crs)
        document = [[table.to_json() for table in step] for step in plan.tables]
        objects.write_bytes(uri, json.dumps(document, indent=1).encode())
        return plan
    resolution = min(each.resolution for each in datasets)
    steps = json.loads(objects.read_bytes(uri))
    tables = tuple(tuple(SceneTable.from_json(table) for table in step) for step in steps)
    asked = [[(each.name, low, high) for each in datasets] for low, high in time_steps(start, end)]
    if asked != [[(each.dataset, each.start, each.end) for each in step] for step in tables]:
        raise StoreProblem(
            f"The scenes at {uri} were chosen for another mosaic.",
            suggestion="Choose another output, or delete that file.",
        )
    return MosaicPlan(geobox_for(row.geometry, target_crs, resolution), tables)


def _report_scenes(plan: MosaicPlan, report: Report, tell: Callable[[Stage, str], None]) -> None:
    for step in plan.tables:
        for table in step:
            span = f"{table.start:%Y-%m-%d} to {table.end:%Y-%m-%d}"
            if table.scenes:
                report(
                    "search",
                    f"{len(table)} scenes of {table.dataset}, {span}"
                    f" ({table.found} in season before clouds)",
                )
            else:
                tell(
                    "search",
                    f"No scenes of {table.dataset}, {span}: its bands stay empty"
                    f" ({table.found} in season before clouds)",
                )


def _create(datasets: Sequence[Dataset], plan: MosaicPlan, uri: str, sizes: Sizes) -> CubeStore:
    tables = [[table.to_json() for table in step] for step in plan.tables]
    attributes: dict[str, Any] = {
        "landloom:datasets": [dataset.name for dataset in datasets],
        "landloom:scenes": plan.scenes,
        "landloom:scenes_sha256": hashlib.sha256(json.dumps(tables).encode()).hexdigest(),
    }
    return CubeStore.create(
        uri,
        geobox=plan.geobox,
        bands=[label for dataset in datasets for label in dataset.labels],
        times=[np.datetime64(step[0].start.replace(tzinfo=None), "s") for step in plan.tables],
        attributes=attributes,
        shard=sizes.shard,
        chunk=sizes.chunk,
    )


def _tasks(
    store: CubeStore,
    datasets: Sequence[Dataset],
    plan: MosaicPlan,
    sizes: Sizes,
    on_error: OnError,
) -> list[MosaicTask]:
    tasks = []
    for time_index, step in enumerate(plan.tables):
        layers = _layers(datasets, step)
        tasks += [
            MosaicTask(store, time_index, tile, layers, sizes.subtile, on_error)
            for tile in tiles(store.shape_yx, store.shard)
        ]
    return tasks


def _layers(datasets: Sequence[Dataset], step: Sequence[SceneTable]) -> tuple[Layer, ...]:
    layers, first = [], 0
    for dataset, table in zip(datasets, step, strict=True):
        layers.append(
            Layer(
                dataset=dataset.name,
                scenes=table.scenes,
                first_band=first,
                bands=len(dataset.bands),
                counted=dataset.count_band is not None,
                dropped=None if dataset.mask is None else dataset.mask.dropped(),
            )
        )
        first += len(dataset.labels)
    return tuple(layers)


def _shard_key(task: MosaicTask) -> tuple[int, int, int]:
    return task.time_index, task.tile.iy, task.tile.ix


def _count_valid(store: CubeStore, finished: Sequence[MosaicTask]) -> int:
    """Count the pixels with a value in every band in shards that an earlier start wrote."""
    return sum(
        int((~np.isnan(store.read(task.time_index, None, task.tile.window))).all(axis=0).sum())
        for task in finished
    )


def _sentence(task: MosaicTask, result: TileReport) -> str:
    time = task.store.times[task.time_index]
    return (
        f"composite of {result.scenes} scenes for tile {task.tile.iy},{task.tile.ix}"
        f" of {np.datetime_as_string(time, unit='D')}"
    )
