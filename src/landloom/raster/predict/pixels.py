"""The pixels of a block's patches: read once, mirrored at the array's edge, holes remembered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landloom.raster.grid import Window
from landloom.raster.kernel import kernel
from landloom.raster.predict.lattice import mirrored
from landloom.raster.store.zarr import CubeStore


@dataclass(frozen=True, slots=True)
class Pixels:
    """The features of a window."""

    window: Window
    """In array pixels; it may reach beyond the array."""
    values: NDArray[np.float32]
    """(channel, y, x), time-major; 0 where a feature has no value."""
    valid: NDArray[np.bool_]
    """(y, x): where every feature has a value."""

    def any_in(self, window: Window) -> bool:
        """Return whether any pixel of a part of the window is valid."""
        rows, columns = window.shifted(-self.window.y0, -self.window.x0).slices()
        return bool(self.valid[rows, columns].any())

    def patch(self, window: Window) -> NDArray[np.float32]:
        """Return (channel, y, x) of a part of the window."""
        rows, columns = window.shifted(-self.window.y0, -self.window.x0).slices()
        return self.values[:, rows, columns]

    def valid_in(self, window: Window) -> NDArray[np.bool_]:
        """Return `valid` of a part of the window."""
        rows, columns = window.shifted(-self.window.y0, -self.window.x0).slices()
        return self.valid[rows, columns].copy()


def read_pixels(
    source: CubeStore, time_indexes: tuple[int, ...], features: list[str], window: Window
) -> Pixels:
    """Read a window of a mosaic for the model.

    Args:
        source: The mosaic.
        time_indexes: Time steps whose features lie side by side, in this order.
        features: Bands in the order of the model's channels.
        window: In array pixels; it may reach beyond the array.
    """
    height, width = source.shape_yx
    rows, columns = mirrored(window.y0, window.y1, height), mirrored(window.x0, window.x1, width)
    inside = Window(
        int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1
    )
    steps = [source.read(index, features, inside) for index in time_indexes]
    values = steps[0] if len(steps) == 1 else np.concatenate(steps)
    if inside != window:
        values = values[:, rows - inside.y0][:, :, columns - inside.x0]
    values = np.ascontiguousarray(values)
    valid = np.empty(values.shape[1:], np.bool_)
    _fill_holes(values, valid)
    return Pixels(window, values, valid)


@kernel
def _fill_holes(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
    """Set NaN in (channel, y, x) to 0 and note in (y, x) where no channel had one."""
    channels, height, width = values.shape
    for y in range(height):
        for x in range(width):
            valid[y, x] = True
        for channel in range(channels):
            for x in range(width):
                value = values[channel, y, x]
                there = value == value  # noqa: PLR0124 - NaN is what does not equal itself
                values[channel, y, x] = value if there else np.float32(0)
                valid[y, x] &= there


def hull(windows: Iterable[Window]) -> Window:
    """Return the smallest window that covers all of `windows`."""
    every = list(windows)
    return Window(
        min(window.y0 for window in every),
        min(window.x0 for window in every),
        max(window.y1 for window in every),
        max(window.x1 for window in every),
    )


def ahead[T, R](
    run: Callable[[T], R], tasks: Iterable[T], threads: int = 1
) -> Iterator[tuple[T, R]]:
    """Yield each task with its result, in order, while later ones run on `threads` threads.

    Reading and decoding release the GIL, so the next window is there when the model wants it.
    """
    waiting: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="read-ahead") as pool:
        try:
            for task in tasks:
                waiting.append((task, pool.submit(run, task)))
                if len(waiting) > threads:
                    first, result = waiting.popleft()
                    yield first, result.result()
            while waiting:
                first, result = waiting.popleft()
                yield first, result.result()
        finally:
            for _, result in waiting:
                result.cancel()
