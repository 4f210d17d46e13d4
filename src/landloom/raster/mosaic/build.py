"""From an area of interest to a finished mosaic: grid, scenes, one task a shard, one store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from landloom.errors import Cancelled, StoreProblem
from landloom.raster.catalog.dataset import Dataset
from landloom.raster.execute.base import AskCancelled, Executor
from landloom.raster.grid import footprint, tiles
from landloom.raster.journal import Report
from landloom.raster.mosaic.plan import MosaicPlan
from landloom.raster.mosaic.read import shared_reader
from landloom.raster.mosaic.tile import (
    DEFAULT_SUBTILE,
    Layer,
    MosaicTask,
    TileReport,
    build_tile,
)
from landloom.raster.scenes import OnError, SceneTable
from landloom.raster.store import objects
from landloom.raster.store.layout import crs_of
from landloom.raster.store.zarr import DEFAULT_CHUNK, DEFAULT_SHARD, CubeStore
from landloom.wire.progress import Stage
from landloom.wire.results import MosaicRow

SCENES = "_landloom/scenes.json"
"""Where in a store its plan lies."""

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


def build_mosaic(  # noqa: PLR0913 - the front door: all that a mosaic depends on
    find: Callable[[], MosaicPlan],
    output_uri: str,
    executor: Executor,
    report: Report,
    cancelled: AskCancelled,
    *,
    key: str,
    warn: Callable[[Stage, str], None] | None = None,
    sizes: Sizes = Sizes(),
    on_error: OnError = "raise",
    overviews: bool = False,
) -> MosaicRow:
    """Build one mosaic; started again with the same key and output, it goes on.

    Args:
        find: Makes the plan; not called where an earlier start has frozen one.
        output_uri: The store to write, ending in `.zarr`. The plan lies in its `_landloom` folder.
        executor: Runs the tasks, one a shard.
        report: Told of every step.
        cancelled: Asked between sub-tiles.
        key: Names what was asked for; a plan that was frozen under another key is refused.
        warn: Told what is not as expected; None leaves it to `report`.
        sizes: How the work is cut.
        on_error: What becomes of a raster that cannot be read after all retries.
        overviews: Whether overviews and statistics are written into the store as it grows.

    Returns:
        The row of the mosaic index. A window without imagery gives an empty mosaic and a warning.

    Raises:
        SceneReadFailed: A raster cannot be read and `on_error` is "raise".
        Cancelled: `cancelled` said so.
        StoreProblem: There is another mosaic at `output_uri`, or it cannot be written.
    """
    tell = warn or report
    if overviews:
        raise NotImplementedError  # mended before this lands: see raster/multiscales
    plan = frozen_plan(output_uri, key) or _freeze(find(), output_uri, key)
    _report_scenes(plan, report, tell)
    lacking = [sentence for step in plan.tables for table in step for sentence in table.skipped]
    for sentence in lacking[:MAX_WARNINGS]:
        tell("search", f"Left out: {sentence}")
    store = _create(plan, output_uri, sizes)
    tasks = _tasks(store, plan, sizes, on_error)
    try:
        total = _run(store, tasks, executor, report, cancelled, tell)
    finally:
        shared_reader().forget()
    valid_fraction = total.valid_px / (store.shape_yx[0] * store.shape_yx[1] * len(store.times))
    found = {
        VALID_FRACTION: valid_fraction,
        "landloom:skipped_rasters": len(lacking) + len(total.skipped),
    }
    return mosaic_row(store.finish(found), valid_fraction)


def mosaic_row(store: CubeStore, valid_fraction: float | None) -> MosaicRow:
    """Return a store as a row of a mosaic index."""
    epsg = crs_of(store.geobox).to_epsg()
    west, south, east, north = footprint(store.geobox).bounds
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
    cancelled: AskCancelled,
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
    for task, result in executor.map(build_tile, todo, cancelled):
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


def frozen_plan(output_uri: str, key: str) -> MosaicPlan | None:
    """Return the plan that an earlier start wrote with the store, if there was one.

    Raises:
        StoreProblem: It was made for another `key`.
    """
    uri = f"{output_uri.rstrip('/')}/{SCENES}"
    if not objects.exists(uri):
        return None
    document = json.loads(objects.read_bytes(uri))
    if document["key"] != key:
        raise StoreProblem(
            f"The scenes at {uri} were chosen for another mosaic.",
            suggestion="Choose another output, or delete that file.",
        )
    return MosaicPlan.from_json(document)


def _freeze(plan: MosaicPlan, output_uri: str, key: str) -> MosaicPlan:
    """Write the plan with the store that will be made of it."""
    document = {"key": key, **plan.to_json()}
    uri = f"{output_uri.rstrip('/')}/{SCENES}"
    objects.write_bytes(uri, json.dumps(document, indent=1).encode())
    return plan


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


def _create(plan: MosaicPlan, uri: str, sizes: Sizes) -> CubeStore:
    document = json.dumps(plan.to_json(), sort_keys=True)
    attributes: dict[str, Any] = {
        "landloom:datasets": [dataset.name for dataset in plan.datasets],
        "landloom:scenes": plan.scenes,
        "landloom:scenes_sha256": hashlib.sha256(document.encode()).hexdigest(),
    }
    return CubeStore.create(
        uri,
        geobox=plan.geobox,
        bands=plan.labels,
        times=[np.datetime64(step[0].start.replace(tzinfo=None), "s") for step in plan.tables],
        attributes=attributes,
        shard=sizes.shard,
        chunk=sizes.chunk,
    )


def _tasks(
    store: CubeStore,
    plan: MosaicPlan,
    sizes: Sizes,
    on_error: OnError,
) -> list[MosaicTask]:
    tasks = []
    for time_index, step in enumerate(plan.tables):
        layers = _layers(plan.datasets, step)
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
                reducer=dataset.reducer,
                resampling=dataset.resampling,
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
