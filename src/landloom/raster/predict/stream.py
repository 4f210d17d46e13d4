"""The stream from pixels to finished blocks: patches fill batches across blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from landloom.raster.models.load import Runner
from landloom.raster.predict.blend import activate, blend, block_windows
from landloom.raster.predict.lattice import PatchLattice
from landloom.raster.predict.pixels import Pixels, ahead, hull, read_pixels
from landloom.raster.predict.plan import Block, BlockPlan, PatchKey, Planner
from landloom.raster.store.zarr import CubeStore
from landloom.wire.enums import MosaicToMosaicActorEnum
from landloom.wire.requests import Inference


@dataclass(slots=True)
class _Batches:
    """Collects patches, runs the model when a batch is full, keeps outputs till they are spent."""

    runner: Runner
    actor: MosaicToMosaicActorEnum
    outputs: dict[PatchKey, NDArray[np.float32] | None] = field(default_factory=dict)
    _keys: list[PatchKey] = field(default_factory=list)
    _patches: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, key: PatchKey, patch: NDArray[np.float32] | None) -> None:
        """Take a patch; None is one without a valid pixel, which is not run."""
        if key in self.outputs or key in self._keys:
            return
        if patch is None:
            self.outputs[key] = None
            return
        self._keys.append(key)
        self._patches.append(patch)
        if len(self._keys) == self.runner.batch:
            self.flush()

    def flush(self) -> None:
        """Run what has been collected."""
        if not self._keys:
            return
        results = self.runner.run(np.stack(self._patches))
        for key, result in zip(self._keys, results, strict=True):
            self.outputs[key] = activate(self.actor, result)
        self._keys.clear()
        self._patches.clear()


@dataclass(frozen=True, slots=True)
class Stream:
    """Predicts the blocks of one output time step, in order."""

    source: CubeStore
    time_indexes: tuple[int, ...]
    inference: Inference
    runner: Runner
    planner: Planner
    check: Callable[[], None]
    """Called before each block; raises to stop."""

    def blocks(self, blocks: Sequence[Block]) -> Iterator[tuple[Block, NDArray[np.float32]]]:
        """Yield each block with its float32 (label, y, x)."""
        batches = _Batches(self.runner, self.inference.actor)
        waiting: deque[tuple[BlockPlan, NDArray[np.bool_]]] = deque()
        weights = PatchLattice.of(self.inference).weights()
        for plan, pixels in ahead(self._read, self.planner.plans(blocks)):
            self.check()
            for key in plan.fresh:
                batches.add(key, pixels.patch(self.planner.patch_window(key)))
            waiting.append((plan, pixels.valid_in(plan.block.window)))
            while waiting and all(key in batches.outputs for key in waiting[0][0].needed):
                yield self._finished(waiting, batches, weights)
        batches.flush()
        while waiting:
            yield self._finished(waiting, batches, weights)

    def _read(self, plan: BlockPlan) -> Pixels:
        window = hull(block_windows(plan, self.planner))
        return read_pixels(self.source, self.time_indexes, self.inference.features, window)

    def _finished(
        self,
        waiting: deque[tuple[BlockPlan, NDArray[np.bool_]]],
        batches: _Batches,
        weights: NDArray[np.float32],
    ) -> tuple[Block, NDArray[np.float32]]:
        plan, valid = waiting.popleft()
        labels = len(self.inference.labels)
        values = blend(plan, self.planner, batches.outputs, weights, valid, labels)
        wanted = {key for later, _ in waiting for key in later.needed}
        for key in plan.spent:
            if key not in wanted:
                del batches.outputs[key]
        return plan.block, values
