"""Patches on their way through the model: collected into batches, run on threads, kept till spent.

The model runs while this process' main thread blends and writes and another one reads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from landloom.errors import Cancelled
from landloom.raster.grid import Window
from landloom.raster.models.load import Runner
from landloom.raster.predict.blend import activate
from landloom.raster.predict.pixels import Pixels
from landloom.raster.predict.plan import PatchKey
from landloom.wire.enums import MosaicToMosaicActorEnum

ASK_SECONDS = 0.2
"""How often the one who waits for the model asks whether the work is still wanted."""


@dataclass(slots=True)
class Batches:
    """Runs patches in batches; close it, and nothing is at work any more."""

    runner: Runner
    actor: MosaicToMosaicActorEnum
    cancelled: Callable[[], bool]
    computed: int = 0
    """Patches handed to the model so far."""
    _outputs: dict[PatchKey, tuple[Future[list[NDArray[np.float32]]], int] | None] = field(
        default_factory=dict
    )
    _collected: list[tuple[PatchKey, Pixels, Window]] = field(default_factory=list)
    _pool: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(self.runner.streams, thread_name_prefix="model")

    def add(self, key: PatchKey, pixels: Pixels, window: Window) -> None:
        """Take a patch; one without a valid pixel is not run."""
        if key in self._outputs or any(key == other for other, _, _ in self._collected):
            return
        if not pixels.any_in(window):
            self._outputs[key] = None
            return
        self._collected.append((key, pixels, window))
        if len(self._collected) == self.runner.batch:
            self.flush()

    def flush(self) -> None:
        """Send what has been collected, though the batch be not full."""
        if not self._collected:
            return
        future = self._pool.submit(self._run, [each[1:] for each in self._collected])
        for place, (key, _, _) in enumerate(self._collected):
            self._outputs[key] = future, place
        self.computed += len(self._collected)
        self._collected.clear()

    def sent(self, key: PatchKey) -> bool:
        """Return whether a patch is on its way, done, or needs no run."""
        return key in self._outputs

    def output(self, key: PatchKey) -> NDArray[np.float32] | None:
        """Wait for a patch's activated output (K, y, x); None if it was not run.

        Raises:
            Cancelled: The work is no longer wanted.
        """
        entry = self._outputs[key]
        if entry is None:
            return None
        future, place = entry
        while not future.done():
            self.check()
            try:
                return future.result(timeout=ASK_SECONDS)[place]
            except TimeoutError:
                continue
        return future.result()[place]

    def forget(self, key: PatchKey) -> None:
        """Drop a patch that no later block needs."""
        del self._outputs[key]

    def check(self) -> None:
        """Raise if the work is no longer wanted."""
        if self.cancelled():
            raise Cancelled("The prediction was cancelled.")

    def close(self) -> None:
        """Let no further batch begin; wait for those at work, which a cancelled one ends."""
        if self.cancelled():
            self.runner.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, patches: list[tuple[Pixels, Window]]) -> list[NDArray[np.float32]]:
        self.check()
        given = np.stack([pixels.patch(window) for pixels, window in patches])
        return [activate(self.actor, result) for result in self.runner.run(given)]
