"""The blocks of one file as they are stored: which of them hold a window, their bytes, decoding.

Bytes of a local file are read when they are wanted, those of a remote one are fetched by ranges,
all at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Buffer, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
import obstore
from numpy.typing import NDArray

from landloom.raster.grid import Window
from landloom.raster.mosaic.blocks import Block
from landloom.raster.mosaic.raster import Part, Raster
from landloom.raster.mosaic.tiff import BlockGrid, TiffLayout
from landloom.raster.store import objects

type Fetched = Mapping[int, Buffer]
"""Blocks as they are stored, by number."""


@dataclass(frozen=True)
class BlockPiece:
    """What a part takes of a block."""

    number: int
    corner_yx: tuple[int, int]
    """Its first pixel in the block."""
    target: tuple[slice, slice]
    """Its place in the part."""
    share: float
    """How much of the block's pixels that is; below 1, neighbouring parts or other bands take of it
    too."""

    @property
    def shared(self) -> bool:
        """Return whether the block is kept for others."""
        return self.share < 1


class Scratch(threading.local):
    """A thread's buffers for one block: as it is stored, and inflated.

    They are kept, because fresh pages for each block cost as much as undoing the predictor.
    """

    def __init__(self) -> None:
        self._stored = memoryview(bytearray())
        self._inflated = np.empty(0, np.uint8)

    def stored(self, length: int) -> memoryview:
        """Return room for a block as it is stored."""
        if len(self._stored) < length:
            self._stored = memoryview(bytearray(2 * length))
        return self._stored[:length]

    def inflated(self, length: int) -> NDArray[np.uint8]:
        """Return room for an inflated block, or more."""
        if len(self._inflated) < length:
            self._inflated = np.empty(length, np.uint8)
        return self._inflated


class StoredBlocks:
    """The blocks of one file while a part of it is read."""

    def __init__(
        self, raster: Raster, layout: TiffLayout, scratch: Scratch, fetched: Fetched
    ) -> None:
        self.layout = layout
        self._href = raster.href
        self._scratch = scratch
        self._fetched = dict(fetched)
        self._path = raster.path
        self._descriptor = -1

    def __enter__(self) -> Self:
        if self._path is not None:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def fetch(self, numbers: Sequence[int]) -> None:
        """Fetch those remote blocks that were not fetched ahead."""
        missing = [number for number in numbers if number not in self._fetched]
        if self._path is None:
            self._fetched |= fetch_blocks(self._href, self.layout, missing)

    def place(self, piece: BlockPiece, band: int, out: NDArray[Any]) -> None:
        """Decode one band of a piece into `out`."""
        if not self.layout.counts[piece.number]:
            out[:] = self.layout.nodata or 0
            return
        inflated = self._scratch.inflated(self.layout.block_bytes)
        self.layout.place(self._stored(piece.number), inflated, band, piece.corner_yx, out)

    def decode(self, number: int) -> Block:
        """Return a whole block, (row, column * samples), to be kept."""
        layout = self.layout
        if not layout.counts[number]:
            height, width = layout.block_yx
            return np.full((height, width * layout.interleaved), layout.nodata or 0, layout.dtype)
        return layout.decode(self._stored(number), self._scratch.inflated(layout.block_bytes))

    def _stored(self, number: int) -> Buffer:
        """Return a block's bytes; those of a local file only until the next call."""
        length = int(self.layout.counts[number])
        if self._path is None:
            if number not in self._fetched:
                self.fetch([number])
            return self._fetched[number]
        stored = self._scratch.stored(length)
        if os.preadv(self._descriptor, [stored], int(self.layout.offsets[number])) != length:
            raise ValueError("the file is cut off")
        return stored


def pieces_of(layout: TiffLayout, part: Part) -> tuple[BlockPiece, ...]:
    """Return what a part takes of which blocks, row by row."""
    return _pieces(layout.blocks, part.band if layout.planar else 0, part.window)


@lru_cache(maxsize=256)
def _pieces(blocks: BlockGrid, plane: int, window: Window) -> tuple[BlockPiece, ...]:
    """Return what a window takes: the same for all bands and dates of a place."""
    (size_y, size_x), extent = blocks.block_yx, Window(0, 0, *blocks.shape_yx)
    pieces = []
    for by in range(window.y0 // size_y, -(-window.y1 // size_y)):
        for bx in range(window.x0 // size_x, -(-window.x1 // size_x)):
            whole = Window(by * size_y, bx * size_x, (by + 1) * size_y, (bx + 1) * size_x)
            taken = whole.clipped(window)
            inside = whole.clipped(extent)
            pieces.append(
                BlockPiece(
                    blocks.number(plane, by, bx),
                    (taken.y0 - whole.y0, taken.x0 - whole.x0),
                    taken.shifted(-window.y0, -window.x0).slices(),
                    _area(taken) / _area(inside) / blocks.interleaved,
                )
            )
    return tuple(pieces)


def _area(window: Window) -> int:
    height, width = window.shape_yx
    return height * width


def fetch_blocks(href: str, layout: TiffLayout, numbers: Sequence[int]) -> dict[int, Buffer]:
    """Fetch blocks from a remote store.

    Raises:
        ValueError: The file ends before a block does.
    """
    written = [number for number in numbers if layout.counts[number]]
    if not written:
        return {}
    location = objects.resolve(href)
    lengths = [int(layout.counts[number]) for number in written]
    buffers = obstore.get_ranges(
        location.store,
        location.path,
        starts=[int(layout.offsets[number]) for number in written],
        lengths=lengths,
    )
    found: list[Buffer] = [memoryview(buffer) for buffer in buffers]
    if any(len(memoryview(data)) != length for data, length in zip(found, lengths, strict=True)):
        raise ValueError("the file is cut off")
    return dict(zip(written, found, strict=True))
