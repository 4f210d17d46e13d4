"""The task of an executor: a run of shards of one time step, predicted as one stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from landloom.raster.grid import patch_origin
from landloom.raster.memory import return_free_memory
from landloom.raster.models.load import Runner
from landloom.raster.predict.blend import Blended
from landloom.raster.predict.lattice import PatchLattice
from landloom.raster.predict.plan import Block, Planner, blocks_of
from landloom.raster.predict.progress import Part
from landloom.raster.predict.stream import Stream
from landloom.raster.store.zarr import CubeStore, SubTile
from landloom.wire.requests import Inference

KEPT_BYTES = 512 << 20
"""Memory for outputs of patches that later blocks need too; beyond it patches are run again."""

RUNS_PER_WORKER = 4
"""Runs that a step's shards are cut into for each worker of a cluster: few, for patches on their
borders are run twice, and enough that no worker waits long for the last one."""


@dataclass(frozen=True, slots=True)
class ShardRun:
    """Shards that follow one another, of one time step of the output."""

    time_slot: int
    time_indexes: tuple[int, ...]
    """The source's time steps that make it."""
    shards: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a run of shards."""

    part: Part
    runtime: str
    """What computed it."""
    notes: tuple[str, ...]
    """What the user should know about that."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What all tasks of a prediction share; it travels to where they run."""

    source: CubeStore
    output: CubeStore
    inference: Inference
    block: int
    """Pixels a side of what is read, blended and written at a time."""

    def blocks(self, slot: int, shard: tuple[int, int]) -> list[Block]:
        """Return the blocks of a shard, in order."""
        return list(blocks_of(slot, shard, self.output.shard_window(*shard), self.block))

    def planner(self) -> Planner:
        """Return what plans the blocks of one task."""
        patch_bytes = 4 * len(self.inference.labels) * self.inference.patch_size**2
        return Planner(
            PatchLattice.of(self.inference),
            patch_origin(self.source.geobox),
            self.block,
            KEPT_BYTES // patch_bytes,
        )


def cut(
    slot: int, steps: tuple[int, ...], shards: Sequence[tuple[int, int]], runs: int
) -> Iterator[ShardRun]:
    """Cut the shards of a time step into runs of nearly one length."""
    length = max(1, -(-len(shards) // runs))
    for start in range(0, len(shards), length):
        yield ShardRun(slot, steps, tuple(shards[start : start + length]))


def predict_shards(
    prediction: Prediction,
    tell: Callable[[Part], None] | None,
    runner: Runner,
    run: ShardRun,
    cancelled: Callable[[], bool],
) -> Finished:
    """Write the shards of a run.

    Args:
        prediction: What to predict.
        tell: Is told of each block, where tasks run in this process.
        runner: The model.
        run: Which shards.
        cancelled: Asked before each batch and while waiting for one.

    Raises:
        Cancelled: `cancelled` said so; the shard in work is not written.
        StoreProblem: Reading or writing failed.
    """
    blocks = [b for shard in run.shards for b in prediction.blocks(run.time_slot, shard)]
    stream = Stream(
        prediction.source,
        run.time_indexes,
        prediction.inference,
        runner,
        prediction.planner(),
        cancelled,
    )
    done = [0, 0, 0]

    def watched(pieces: Iterator[Blended]) -> Iterator[SubTile]:
        for piece in pieces:
            yield piece.block.window, piece.values
            part = Part(1, piece.valid, piece.refused)
            done[:] = done[0] + 1, done[1] + piece.valid, done[2] + piece.refused
            if tell:
                tell(part)
            del piece
            # Patches and blocks of all sizes leave gaps, which would grow with their number.
            return_free_memory()

    finished = stream.blocks(blocks)
    for (iy, ix), pieces in groupby(finished, key=lambda piece: piece.block.shard):
        prediction.output.write_shard(run.time_slot, iy, ix, watched(pieces))
    return Finished(Part(*done), runner.runtime.name, runner.notes)
