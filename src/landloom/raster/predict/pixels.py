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
    shape = (len(time_indexes) * len(features), *window.shape_yx)
    values, valid = np.empty(shape, np.float32), np.ones(window.shape_yx, np.bool_)
    for step, index in enumerate(time_indexes):
        found = source.read(index, features, inside)
        target = values[step * len(features) : (step + 1) * len(features)]
        _fill(found, rows - inside.y0, columns - inside.x0, target, valid)
    return Pixels(window, values, valid)


@kernel
def _fill(
    found: NDArray[np.float32],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
) -> None:
    """Copy rows and columns of (channel, y, x), 0 for NaN; note in (y, x) where NaN was."""
    for channel in range(found.shape[0]):
        for y in range(len(rows)):
            source, target, there = found[channel, rows[y]], values[channel, y], valid[y]
            for x in range(len(columns)):
                value = source[columns[x]]
                known = value == value  # noqa: PLR0124 - NaN does not equal itself
                target[x] = value if known else np.float32(0)
                there[x] &= known


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
