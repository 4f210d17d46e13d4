"""From an area of interest to a finished mosaic: grid, scenes, one task a shard, one store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from landloom.errors import StoreProblem
from landloom.raster.execute.base import AskCancelled, Executor
from landloom.raster.grid import footprint
from landloom.raster.journal import Report
from landloom.raster.ledger import Ledger
from landloom.raster.mosaic.plan import MosaicPlan
from landloom.raster.mosaic.read import shared_reader
from landloom.raster.mosaic.tasks import MosaicTasks, Place, place_of
from landloom.raster.mosaic.tile import DEFAULT_SUBTILE, MosaicTask, TileReport, build_tile
from landloom.raster.multiscales import GrowingOverviews, summarize_shard
from landloom.raster.multiscales.overview import Sketches
from landloom.raster.multiscales.pyramid import Pyramid
from landloom.raster.scenes import OnError
from landloom.raster.store import objects
from landloom.raster.store.companions import companion
from landloom.raster.store.layout import crs_of
from landloom.raster.store.zarr import DEFAULT_CHUNK, DEFAULT_SHARD, CubeStore
from landloom.wire.progress import Stage
from landloom.wire.results import MosaicRow

SCENES = "scenes.json"
"""What a store's plan is named, beside its data."""

VALID_FRACTION = "landloom:valid_fraction"
"""Attribute with the share of pixels that have a value in every band."""

SKIPPED = "landloom:skipped_rasters"
"""Attribute with how many rasters and catalogue items were left out because they are broken."""

SKIPPED_NAMES = "landloom:skipped"
"""Attribute with a sentence for each of the first of them."""

MISSING_BANDS = "landloom:missing_bands"
"""Attribute with how many scenes lack a band, by its label, where any does."""

LEFT_OUT = "Left out: "
"""How a warning begins that names one of them."""

EMPTY = "No pixel has a value in every band: clouds, or rasters that do not reach here, leave none"
"""The warning where there were scenes, and yet nothing of them is left."""

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
    plan = frozen_plan(output_uri, key) or _freeze(find(), output_uri, key)
    _report_scenes(plan, report, tell)
    lacking = [sentence for step in plan.tables for table in step for sentence in table.skipped]
    store = _create(plan, output_uri, sizes)
    if store.complete:
        report("mosaic", "It was finished before")
        for sentence in store.attributes.get(SKIPPED_NAMES, ()):
            tell("mosaic", f"{LEFT_OUT}{sentence}")
        return mosaic_row(store, store.attributes[VALID_FRACTION])
    for sentence in lacking[:MAX_WARNINGS]:
        tell("search", f"{LEFT_OUT}{sentence}")
    tasks = MosaicTasks(store, plan, sizes.subtile, on_error)
    growing = GrowingOverviews.begin(store) if overviews else None
    try:
        total = _Build(tasks, growing, executor, report, tell, cancelled).run()
    finally:
        shared_reader().forget()
    if any(plan.scenes.values()) and not total.valid_px:
        tell("mosaic", EMPTY)
    return _finished(store, total, lacking)


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


@dataclass(frozen=True, slots=True)
class _Build:
    """One mosaic in work."""

    tasks: MosaicTasks
    growing: GrowingOverviews | None
    executor: Executor
    report: Report
    tell: Callable[[Stage, str], None]
    cancelled: AskCancelled

    def run(self) -> TileReport:
        """Compute the shards that are not there yet; return the sum of all reports."""
        written = self.tasks.store.finished_shards()
        total = self._resume(written)
        done = len(written)
        pyramid = self.growing.pyramid if self.growing else None
        run = partial(_make, pyramid, shared_reader().epoch)
        todo = self.tasks.without(written)
        for task, (result, sketches) in self.executor.map(run, todo, self.cancelled):
            done += 1
            if self.growing:
                self.growing.add(place_of(task), sketches, self.cancelled)
            self.report("mosaic", _sentence(task, result), done, len(self.tasks))
            self._count(result, total)
        if self.growing:
            self.growing.finish()
        for sentence in sorted(total.skipped.values())[:MAX_WARNINGS]:
            self.tell("mosaic", f"{LEFT_OUT}{sentence}")
        if total.skipped:
            count = len(total.skipped)
            self.tell("mosaic", f"{count} rasters could not be read and were left out")
        return total

    def _resume(self, written: set[Place]) -> TileReport:
        """Take in the shards that an earlier start wrote; return the sum of their reports."""
        total = TileReport()
        if not written:
            return total
        done, of = len(written), len(self.tasks)
        self.report("mosaic", "Going on after the tiles that were finished before", done, of)
        store = self.tasks.store
        names = {_name(place): place for place in sorted(written)}
        for name, note in _ledger(store).notes(names):
            result = TileReport(**note) if note else TileReport(valid_px=_valid(store, names[name]))
            self._count(result, total)
        if self.growing:
            run = partial(summarize_shard, self.growing.pyramid)
            missing = self.growing.missing(written)
            for place, sketches in self.executor.map(run, missing, self.cancelled):
                self.growing.add(place, sketches, self.cancelled)
        return total

    def _count(self, result: TileReport, total: TileReport) -> None:
        for href, sentence in result.skipped.items():
            if href not in total.skipped and len(total.skipped) < MAX_WARNINGS:
                self.report("mosaic", f"{LEFT_OUT}{sentence}")
            # Of what several tiles say of a raster one is kept, whichever was done first.
            total.skipped[href] = min(sentence, total.skipped.get(href, sentence))
        total.valid_px += result.valid_px


def _make(
    pyramid: Pyramid | None, epoch: str, task: MosaicTask, cancelled: AskCancelled
) -> tuple[TileReport, Sketches]:
    """Compute one shard and, where they are asked for, its overviews."""
    shared_reader().follow(epoch)
    name, ledger = _name(place_of(task)), _ledger(task.store)

    def note(report: TileReport) -> None:
        ledger.note(name, asdict(report))

    report = build_tile(task, cancelled, note=note)
    if pyramid is None:
        return report, ()
    return report, summarize_shard(pyramid, place_of(task), cancelled)


def _finished(store: CubeStore, total: TileReport, lacking: list[str]) -> MosaicRow:
    """Mark a store complete, with what was left out; return its row."""
    valid_fraction = total.valid_px / (store.shape_yx[0] * store.shape_yx[1] * len(store.times))
    skipped = sorted([*lacking, *total.skipped.values()])
    found = {
        VALID_FRACTION: valid_fraction,
        SKIPPED: len(skipped),
        SKIPPED_NAMES: skipped[:MAX_WARNINGS],
    }
    store = store.finish(found)
    _ledger(store).clear()
    return mosaic_row(store, valid_fraction)


def _ledger(store: CubeStore) -> Ledger:
    return Ledger(store.companion("tiles"))


def _name(place: Place) -> str:
    return "/".join(map(str, place))


def _valid(store: CubeStore, place: Place) -> int:
    """Count the pixels of a shard that have a value in every band."""
    time, iy, ix = place
    pixels = store.read(time, None, store.shard_window(iy, ix))
    return int((~np.isnan(pixels)).all(axis=0).sum())


def frozen_plan(output_uri: str, key: str) -> MosaicPlan | None:
    """Return the plan that an earlier start wrote with the store, if there was one.

    Raises:
        StoreProblem: It was made for another `key`.
    """
    uri = companion(output_uri, SCENES)
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
    uri = companion(output_uri, SCENES)
    objects.write_bytes(uri, json.dumps(document).encode())
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
    for label, count in plan.missing_bands.items():
        tell("search", f"{count} scenes have no band {label}: it lacks their values")


def _create(plan: MosaicPlan, uri: str, sizes: Sizes) -> CubeStore:
    document = json.dumps(plan.to_json(), sort_keys=True)
    attributes: dict[str, Any] = {
        "landloom:datasets": [dataset.name for dataset in plan.datasets],
        "landloom:scenes": plan.scenes,
        "landloom:scenes_sha256": hashlib.sha256(document.encode()).hexdigest(),
    }
    if plan.missing_bands:
        attributes[MISSING_BANDS] = plan.missing_bands
    return CubeStore.create(
        uri,
        geobox=plan.geobox,
        bands=plan.labels,
        times=[np.datetime64(step[0].start.replace(tzinfo=None), "s") for step in plan.tables],
        attributes=attributes,
        shard=sizes.shard,
        chunk=sizes.chunk,
        dtype=plan.dtype,
    )


def _sentence(task: MosaicTask, result: TileReport) -> str:
    time = task.store.times[task.time_index]
    return (
        f"composite of {result.scenes} scenes for tile {task.tile.iy},{task.tile.ix}"
        f" of {np.datetime_as_string(time, unit='D')}"
    )
