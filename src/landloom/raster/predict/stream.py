"""The stream from pixels to finished blocks: patches fill batches across blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landloom.raster.execute.local import available_cores
from landloom.raster.models.load import Runner
from landloom.raster.predict.batches import Batches
from landloom.raster.predict.blend import Blended, blend
from landloom.raster.predict.lattice import PatchLattice
from landloom.raster.predict.pixels import Pixels, ahead, hull, read_pixels
from landloom.raster.predict.plan import Block, BlockPlan, Planner
from landloom.raster.store.zarr import CubeStore
from landloom.wire.requests import Inference

CORES_PER_READER = 4
"""Two cores read with one thread while they compute; a GPU's many cores read with several."""

type Waiting = deque[tuple[BlockPlan, NDArray[np.bool_]]]
"""Blocks whose patches are on their way, and where they are valid."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Predicts the blocks of one output time step, in order."""

    source: CubeStore
    time_indexes: tuple[int, ...]
    inference: Inference
    runner: Runner
    planner: Planner
    cancelled: Callable[[], bool]
    """Asked before each batch and while waiting for one."""

    def blocks(self, blocks: Sequence[Block]) -> Iterator[Blended]:
        """Yield each block when it is finished, while the model works for the next ones.

        Raises:
            Cancelled: `cancelled` said so.
        """
        waiting: Waiting = deque()
        weights = PatchLattice.of(self.inference).weights()
        readers = max(1, available_cores() // CORES_PER_READER)
        with closing(Batches(self.runner, self.inference.actor, self.cancelled)) as batches:
            for plan, pixels in ahead(self._read, self.planner.plans(blocks), readers):
                batches.check()
                for key in plan.fresh:
                    batches.add(key, pixels, self.planner.patch_window(key))
                waiting.append((plan, pixels.valid_in(plan.block.window)))
                while self._enough_behind(waiting, batches):
                    yield self._finished(waiting, batches, weights)
            batches.flush()
            while waiting:
                yield self._finished(waiting, batches, weights)

    def _read(self, plan: BlockPlan) -> Pixels:
        windows = [plan.block.window, *map(self.planner.patch_window, plan.fresh)]
        return read_pixels(self.source, self.time_indexes, self.inference.features, hull(windows))

    def _enough_behind(self, waiting: Waiting, batches: Batches) -> bool:
        """Return whether the model has work for the time that finishing the first block takes."""
        behind = sum(len(plan.fresh) for plan, _ in list(waiting)[1:])
        enough = behind >= 2 * self.runner.batch * self.runner.streams
        return enough and all(map(batches.sent, waiting[0][0].needed))

    def _finished(
        self, waiting: Waiting, batches: Batches, weights: NDArray[np.float32]
    ) -> Blended:
        plan, valid = waiting.popleft()
        labels = len(self.inference.labels)
        done = blend(plan, self.planner, batches.output, weights, valid, labels)
        wanted = {key for later, _ in waiting for key in later.needed}
        for key in plan.spent:
            if key not in wanted:
                batches.forget(key)
        return done
