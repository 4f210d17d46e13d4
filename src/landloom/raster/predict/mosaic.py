"""Run a model over a mosaic: from store to store, shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from landloom.errors import Cancelled, InvalidInput
from landloom.raster.grid import lattice_origin, tiles
from landloom.raster.journal import Report
from landloom.raster.models.load import Model, Runner
from landloom.raster.mosaic.build import VALID_FRACTION, mosaic_row
from landloom.raster.predict.lattice import PatchLattice
from landloom.raster.predict.plan import Block, Planner, blocks_of
from landloom.raster.predict.stream import Stream
from landloom.raster.store.zarr import DEFAULT_CHUNK, DEFAULT_SHARD, CubeStore, SubTile
from landloom.wire.enums import MosaicToMosaicActorEnum
from landloom.wire.requests import Inference
from landloom.wire.results import MosaicRow

BLOCK = 1024
"""Pixels a side of what is read, blended and handed to the shard at a time."""

KEPT_BYTES = 512 << 20
"""Memory for outputs of patches that later blocks need too; beyond it patches are run again."""

CHANGE = MosaicToMosaicActorEnum.SEMANTIC_SEGMENTATION_CHANGE_DETECTION_PYTORCH


def predict_mosaic(
    source: CubeStore,
    inference: Inference,
    model: Model,
    output_uri: str,
    *,
    report: Report,
    cancelled: Callable[[], bool],
    block: int = BLOCK,
) -> MosaicRow:
    """Write a model's output for every pixel of a mosaic to a store of the same grid.

    The result does not depend on shards, blocks or batches. Shards that are there are kept, so a
    prediction that was ended goes on where it was. Where any feature has no value the output is
    NaN.

    Args:
        source: The mosaic; its bands include `inference.features`.
        inference: Patches, features, labels, actor, merge mode.
        model: See `load_model`.
        output_uri: The store to make or go on with.
        report: Is told how far it has come.
        cancelled: Asked before each block.
        block: Pixels a side; the result does not depend on it.

    Raises:
        InvalidInput: The source lacks a feature.
        ModelRejected: The model does not fit the request; no pixel has been read.
        StoreProblem: Reading or writing failed, or another prediction is at `output_uri`.
        Cancelled: `cancelled` said so; what is written stays.
    """
    _check_features(source, inference)
    steps = _time_steps(source, inference)
    runner = model.prepare(inference, len(steps[0]))
    for note in runner.notes:
        report("predict", note, None, None)
    output = _output(source, inference, model, output_uri, steps)
    prediction = _Prediction(
        source, inference, runner, output, steps, min(block, output.shard), report, cancelled
    )
    valid = prediction.run()
    height, width = output.shape_yx
    valid_fraction = valid / (height * width * len(output.times))
    return mosaic_row(output.finish({VALID_FRACTION: valid_fraction}), valid_fraction)


@dataclass(frozen=True, slots=True)
class _Prediction:
    """One prediction in work."""

    source: CubeStore
    inference: Inference
    runner: Runner
    output: CubeStore
    steps: list[tuple[int, ...]]
    block: int
    report: Report
    cancelled: Callable[[], bool]

    def run(self) -> int:
        """Write every shard that is missing; return how many pixels have a value."""
        shards = [(tile.iy, tile.ix) for tile in tiles(self.output.shape_yx, self.output.shard)]
        total = len(self.steps) * sum(len(self._blocks(0, shard)) for shard in shards)
        progress = _Progress(self.report, total)
        for slot, time_indexes in enumerate(self.steps):
            missing = []
            for shard in shards:
                if self.output.has_shard(slot, *shard):
                    progress.skip(len(self._blocks(slot, shard)), self._count(slot, shard))
                else:
                    missing.append(shard)
            self._predict(slot, time_indexes, missing, progress)
        return progress.valid

    def _predict(
        self,
        slot: int,
        time_indexes: tuple[int, ...],
        shards: list[tuple[int, int]],
        progress: _Progress,
    ) -> None:
        """Write shards of one time step in order."""
        blocks = [block for shard in shards for block in self._blocks(slot, shard)]
        planner = Planner(
            PatchLattice.of(self.inference),
            _origin(self.source),
            self.block,
            KEPT_BYTES // (4 * len(self.inference.labels) * self.inference.patch_size**2),
        )
        stream = Stream(
            self.source, time_indexes, self.inference, self.runner, planner, self._check
        )
        finished = stream.blocks(blocks)
        for (iy, ix), pieces in groupby(finished, key=lambda piece: piece[0].shard):
            self.output.write_shard(slot, iy, ix, progress.watched(pieces))

    def _blocks(self, slot: int, shard: tuple[int, int]) -> list[Block]:
        return list(blocks_of(slot, shard, self.output.shard_window(*shard), self.block))

    def _count(self, slot: int, shard: tuple[int, int]) -> int:
        window = self.output.shard_window(*shard)
        values = self.output.read(slot, [self.inference.labels[0]], window)
        return int(np.isfinite(values).sum())

    def _check(self) -> None:
        if self.cancelled():
            raise Cancelled("The prediction was cancelled.")


@dataclass(slots=True)
class _Progress:
    """Counts blocks and valid pixels as they pass, and tells."""

    report: Report
    total: int
    done: int = 0
    valid: int = 0

    def skip(self, blocks: int, valid: int) -> None:
        """Count a shard that is there already."""
        self._count(blocks, valid)

    def watched(self, pieces: Iterator[tuple[Block, NDArray[np.float32]]]) -> Iterator[SubTile]:
        """Yield what `write_shard` takes."""
        for block, values in pieces:
            yield block.window, values
            self._count(1, int(np.isfinite(values[0]).sum()))

    def _count(self, blocks: int, valid: int) -> None:
        self.done += blocks
        self.valid += valid
        self.report("predict", "Running the model", self.done, self.total)


def _check_features(source: CubeStore, inference: Inference) -> None:
    missing = [feature for feature in inference.features if feature not in source.bands]
    if missing:
        raise InvalidInput(
            f"{source.uri} has no band {', '.join(map(repr, missing))}.",
            suggestion=f"Its bands are {', '.join(source.bands)}.",
            field="inference.features",
        )


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


def _origin(source: CubeStore) -> tuple[int, int]:
    """Return the lattice index of the first pixel; a foreign grid has a lattice of its own."""
    try:
        return lattice_origin(source.geobox)
    except InvalidInput:
        return 0, 0
