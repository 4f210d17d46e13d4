"""The sharded array of a store: which object holds a pixel, and how its inner chunks are read.

Inner chunks are fetched by ranges, those of one shard in one call, and decoded side by side: the
decoder works without the GIL.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import obstore
from numpy.typing import NDArray
from obstore.exceptions import BaseError

from landloom.errors import StoreProblem
from landloom.raster.execute.local import available_cores
from landloom.raster.grid import Window
from landloom.raster.store import objects
from landloom.raster.store.shard import MISSING, Pixels, decompress, index_bytes, parse_index

KEPT_INDEXES = 4096
"""Shard indexes that a store remembers: a few megabytes. Then it forgets them all and goes on."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """An inner chunk on its way into a window."""

    data: Any
    """As it is stored; None where there is nothing but "no value"."""
    source: tuple[slice, slice]
    """The part of the chunk that is wanted."""
    target: NDArray[np.float32]
    """Where it goes: a view of the window's array."""


class _Scratch(threading.local):
    """A thread's own block for decoding: fresh memory for each chunk would double the time."""

    def __init__(self) -> None:
        self._block: Pixels = np.empty((0, 0), np.uint8)

    def block(self, side: int, dtype: str) -> Pixels:
        """Return the block, with whatever is in it."""
        if self._block.shape != (side, side) or self._block.dtype != dtype:
            self._block = np.empty((side, side), np.dtype(dtype))
        return self._block


_SCRATCH = _Scratch()


@dataclass(frozen=True)
class ShardedArray:
    """The variable of a store whose layout is ours; safe to share between threads."""

    uri: str
    """Folder of the array."""
    bands: int
    shape_yx: tuple[int, int]
    shard: int
    """Pixels a side."""
    chunk: int
    """Pixels a side of an inner chunk."""
    dtype: str
    """As it is stored: float32 or uint8."""
    _indexes: dict[str, NDArray[np.uint64]] = field(default_factory=dict, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_indexes": {}}

    def shard_uri(self, time_index: int, iy: int, ix: int) -> str:
        """Return where a shard lies."""
        return f"{self.uri}/c/{time_index}/0/{iy}/{ix}"

    def window(self, iy: int, ix: int) -> Window:
        """Return the pixels of shard (iy, ix) that lie inside the array."""
        height, width = self.shape_yx
        y0, x0 = iy * self.shard, ix * self.shard
        return Window(y0, x0, min(y0 + self.shard, height), min(x0 + self.shard, width))

    def forget(self, uri: str) -> None:
        """Read a shard's index anew next time: it was written."""
        self._indexes.pop(uri, None)

    def read(self, time_index: int, bands: Sequence[int], window: Window) -> NDArray[np.float32]:
        """Return float32 (band, y, x) of a window, which may reach beyond the array: NaN there.

        Raises:
            StoreProblem: A shard cannot be read.
        """
        out = np.empty((len(bands), *window.shape_yx), np.float32)
        inside = window.clipped(Window(0, 0, *self.shape_yx))
        if inside != window:
            out.fill(np.nan)
        if inside.empty:
            return out
        places = [
            (iy, ix)
            for iy in range(inside.y0 // self.shard, -(-inside.y1 // self.shard))
            for ix in range(inside.x0 // self.shard, -(-inside.x1 // self.shard))
        ]

        def fetch(place: tuple[int, int]) -> list[_Piece]:
            return list(self._fetch(time_index, place, bands, window, out))

        pieces = [piece for found in _each(fetch, places) for piece in found]
        for _ in _each(self._decode, pieces):
            pass
        return out

    def _fetch(
        self,
        time_index: int,
        place: tuple[int, int],
        bands: Sequence[int],
        window: Window,
        out: NDArray[np.float32],
    ) -> Iterator[_Piece]:
        """Yield the inner chunks that a shard has of `window`."""
        uri = self.shard_uri(time_index, *place)
        inside = window.clipped(self.window(*place))
        index = self._index(uri)
        if index is None:
            rows, columns = inside.shifted(-window.y0, -window.x0).slices()
            out[:, rows, columns] = np.nan
            return
        wanted, starts, lengths = [], [], []
        for cy, cx, chunk in self._chunks(*place, inside):
            part = chunk.clipped(inside)
            source = part.shifted(-chunk.y0, -chunk.x0).slices()
            rows, columns = part.shifted(-window.y0, -window.x0).slices()
            for slot, band in enumerate(bands):
                start, length = index[band, cy, cx]
                target = out[slot, rows, columns]
                if start == MISSING:
                    yield _Piece(None, source, target)
                    continue
                wanted.append((source, target))
                starts.append(int(start))
                lengths.append(int(length))
        if not wanted:
            return
        location = objects.resolve(uri)
        try:
            buffers = obstore.get_ranges(
                location.store, location.path, starts=starts, lengths=lengths
            )
        except (BaseError, OSError) as error:
            raise StoreProblem(f"Cannot read the shard {uri}: {error}") from error
        for (source, target), data in zip(wanted, buffers, strict=True):
            yield _Piece(data, source, target)

    def _decode(self, piece: _Piece) -> None:
        if piece.data is None:
            piece.target.fill(np.nan)
            return
        block = _SCRATCH.block(self.chunk, self.dtype)
        decompress(piece.data, block)
        pixels = block[piece.source]
        np.copyto(piece.target, pixels)
        if self.dtype == "uint8":
            piece.target[pixels == 0] = np.nan

    def _chunks(self, iy: int, ix: int, inside: Window) -> Iterator[tuple[int, int, Window]]:
        """Yield index and window (array pixels) of a shard's inner chunks that meet `inside`."""
        size, top, left = self.chunk, iy * self.shard, ix * self.shard
        for cy in range((inside.y0 - top) // size, -(-(inside.y1 - top) // size)):
            for cx in range((inside.x0 - left) // size, -(-(inside.x1 - left) // size)):
                y0, x0 = top + cy * size, left + cx * size
                yield cy, cx, Window(y0, x0, y0 + size, x0 + size)

    def _index(self, uri: str) -> NDArray[np.uint64] | None:
        """Return a shard's index, or None if the shard is not (yet) there."""
        known = self._indexes.get(uri)
        if known is not None:
            return known
        location = objects.resolve(uri)
        length = index_bytes(self.bands, self.shard, self.chunk)
        try:
            answer = obstore.get(
                location.store, location.path, options={"range": {"suffix": length}}
            )
            tail = bytes(answer.bytes())
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise StoreProblem(f"Cannot read the shard {uri}: {error}") from error
        index = parse_index(tail, self.bands, self.shard, self.chunk)
        if len(self._indexes) >= KEPT_INDEXES:
            self._indexes.clear()
        self._indexes[uri] = index
        return index


def _each[T, R](run: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Yield `run(item)` for every item, several at a time where there are several."""
    if len(items) > 1:
        yield from _pool(os.getpid()).map(run, items)
    else:
        yield from map(run, items)


@lru_cache(maxsize=1)
def _pool(pid: int) -> ThreadPoolExecutor:
    """Return this process's threads for reading; its tasks never wait for one another."""
    del pid  # a forked child has no threads of its parent's
    return ThreadPoolExecutor(available_cores(), thread_name_prefix="decode")
