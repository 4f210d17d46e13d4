"""Run a model over a mosaic: from store to store, shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from landloom.errors import InvalidInput
from landloom.raster.execute.base import Executor
from landloom.raster.grid import tiles
from landloom.raster.journal import Report
from landloom.raster.models.load import Model, Runner
from landloom.raster.mosaic.build import VALID_FRACTION, mosaic_row
from landloom.raster.predict.progress import Part, Progress
from landloom.raster.predict.shards import (
    RUNS_PER_WORKER,
    Finished,
    Prediction,
    ShardRun,
    cut,
    predict_shards,
)
from landloom.raster.store.zarr import DEFAULT_CHUNK, DEFAULT_SHARD, CubeStore
from landloom.wire.enums import MosaicToMosaicActorEnum
from landloom.wire.progress import Stage
from landloom.wire.requests import Inference
from landloom.wire.results import MosaicRow

BLOCK = 1024
"""Pixels a side of what is read, blended and handed to the shard at a time."""

RUNTIMES = "landloom:runtimes"
"""Attribute that names the libraries, devices and precisions that computed a prediction."""

WRITTEN_BEFORE = "Written before this start"
"""What is reported for shards that a prediction finds when it goes on."""

CHANGE = MosaicToMosaicActorEnum.SEMANTIC_SEGMENTATION_CHANGE_DETECTION_PYTORCH


def predict_mosaic(  # noqa: PLR0913 - what a prediction depends on
    source: CubeStore,
    inference: Inference,
    model: Model,
    output_uri: str,
    *,
    executor: Executor,
    report: Report,
    warn: Callable[[Stage, str], None],
    cancelled: Callable[[], bool],
    prepare: Callable[[Inference, int], Runner] | None = None,
    block: int = BLOCK,
) -> MosaicRow:
    """Write a model's output for every pixel of a mosaic to a store of the same grid.

    The result does not depend on shards, blocks, workers or batches. Shards that are there are
    kept, so a prediction that was ended goes on where it was. Where any feature has no value the
    output is NaN, and likewise where the model gives NaN or infinity, which is warned of.

    Args:
        source: The mosaic; its bands include `inference.features`.
        inference: Patches, features, labels, actor, merge mode.
        model: See `load_model`.
        output_uri: The store to make or go on with.
        executor: Runs the model: here, as one stream of blocks, or on a cluster, as runs of shards.
        report: Is told how far it has come, from this thread.
        warn: Is told what the user should know.
        cancelled: Asked often.
        prepare: Places the model for so many time steps; None is `model.prepare`. It travels to
            where the tasks run.
        block: Pixels a side; the result does not depend on it.

    Raises:
        InvalidInput: The source lacks a feature.
        ModelRejected: The model does not fit the request; no pixel has been read.
        StoreProblem: Reading or writing failed, or another prediction is at `output_uri`.
        Cancelled: `cancelled` said so; what is written stays.
    """
    source.require_bands(inference.features, "inference.features")
    steps = _time_steps(source, inference)
    model.check(inference, len(steps[0]))
    make = partial(prepare or model.prepare, inference, len(steps[0]))
    if executor.local:
        make = partial(_itself, make())  # a model that fails has made no store
    output = _output(source, inference, model, output_uri, steps)
    prediction = Prediction(source, output, inference, min(block, output.shard))
    progress = Progress(report, cancelled, _total(prediction))
    runs = 1 if executor.local else RUNS_PER_WORKER * executor.workers
    tasks = (
        task
        for slot, shards in enumerate(_missing(prediction, progress))
        for task in cut(slot, steps[slot], shards, runs)
    )
    run = partial(predict_shards, prediction, progress.tell if executor.local else None)
    gpus = 0.0 if model.device == "cpu" else 1.0
    runtimes = _gather(
        executor.map_with(make, run, tasks, progress.asked, gpus=gpus),
        progress,
        warn,
        local=executor.local,
    )
    height, width = output.shape_yx
    valid_fraction = progress.valid / (height * width * len(output.times))
    found = {VALID_FRACTION: valid_fraction, RUNTIMES: sorted(runtimes)}
    return mosaic_row(output.finish(found), valid_fraction)


def _itself[T](thing: T) -> T:
    return thing


def _missing(prediction: Prediction, progress: Progress) -> list[list[tuple[int, int]]]:
    """Return the shards of each time step that are not written; count the others as done."""
    output = prediction.output
    written = output.finished_shards()
    missing: list[list[tuple[int, int]]] = []
    for slot in range(len(output.times)):
        missing.append([])
        for shard in _shards(output):
            if (slot, *shard) not in written:
                missing[-1].append(shard)
                continue
            blocks = len(prediction.blocks(slot, shard))
            progress.count(Part(blocks, _count(output, slot, shard), 0), WRITTEN_BEFORE)
    return missing


def _gather(
    finished: Iterable[tuple[ShardRun, Finished]],
    progress: Progress,
    warn: Callable[[Stage, str], None],
    *,
    local: bool,
) -> set[str]:
    """Count what comes, say what the user should know, return what computed it."""
    runtimes, said = set(), set()
    for _, result in finished:
        if local:  # block by block, it was told already
            progress.catch_up()
        else:
            progress.count(result.part)
        runtimes.add(result.runtime)
        for note in result.notes:
            if note not in said:
                said.add(note)
                warn("predict", note)
    if progress.refused:
        warn(
            "predict",
            f"The model gave no number (NaN or infinity) for {progress.refused} pixels: they have"
            " no data.",
        )
    return runtimes


def _shards(output: CubeStore) -> list[tuple[int, int]]:
    return [(tile.iy, tile.ix) for tile in tiles(output.shape_yx, output.shard)]


def _total(prediction: Prediction) -> int:
    """Return how many blocks there are in all time steps."""
    output = prediction.output
    blocks = sum(len(prediction.blocks(0, shard)) for shard in _shards(output))
    return blocks * len(output.times)


def _count(output: CubeStore, slot: int, shard: tuple[int, int]) -> int:
    """Return how many pixels of a shard have a value."""
    values = output.read(slot, output.bands[:1], output.shard_window(*shard))
    return int(np.isfinite(values).sum())


def _time_steps(source: CubeStore, inference: Inference) -> list[tuple[int, ...]]:
    """Return the source's time steps that make each time step of the output."""
    indexes = range(len(source.times))
    if inference.actor is not CHANGE:
        return [(index,) for index in indexes]
    if len(indexes) < 2:  # noqa: PLR2004 - before and after
        raise InvalidInput(
            f"{source.uri} has one time step; change detection compares at least two.",
            suggestion="Build the mosaic over a window of two years or more.",
            field="mosaics",
        )
    return [tuple(indexes)]


def _output(
    source: CubeStore,
    inference: Inference,
    model: Model,
    uri: str,
    steps: list[tuple[int, ...]],
) -> CubeStore:
    """Make the output store, or reopen it if it is this very prediction's."""
    said = inference.model_dump(mode="json", exclude={"device", "max_batch_size", "model_path"})
    change = inference.actor is CHANGE
    return CubeStore.create(
        uri,
        geobox=source.geobox,
        bands=inference.labels,
        times=[source.times[each[0]] for each in steps],
        time_deltas=[source.times[each[-1]] - source.times[each[0]] for each in steps]
        if change
        else None,
        attributes={
            "landloom:inference": said,
            "landloom:model_sha256": model.file.sha256,
            "landloom:source": source.uri,
        },
        shard=source.shard if source.native else DEFAULT_SHARD,
        chunk=source.chunk if source.native else DEFAULT_CHUNK,
    )
