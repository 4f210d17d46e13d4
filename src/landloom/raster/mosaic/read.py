"""The one door to scene rasters: a window of a file's pixels, whatever the file and its place.

Common GeoTIFFs are read block by block through `tiff`, straight into the array that is to hold the
window; anything else goes through GDAL. Parts of remote files can be fetched ahead, so that their
latency is spent while something else is computed. Overviews are never used: mosaics are made at a
dataset's own resolution.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Buffer, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
import obstore
from numpy.typing import NDArray
from obstore.exceptions import BaseError
from rasterio.errors import RasterioError

from landloom.errors import LandloomError
from landloom.raster.grid import Window
from landloom.raster.mosaic import gdal
from landloom.raster.mosaic.blocks import Block, BlockCache
from landloom.raster.mosaic.decode import copy_part
from landloom.raster.mosaic.raster import Part, Raster, RasterReadError
from landloom.raster.mosaic.tiff import TiffLayout, UnsupportedTiff, parse_tiff
from landloom.raster.store import objects

__all__ = ["Coming", "Part", "Raster", "RasterReadError", "RasterReader", "shared_reader"]

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.2
"""Between attempts; it doubles. The store below has retries of its own for HTTP errors."""

DEFAULT_CACHE_BYTES = 192 * 2**20
MAX_HEADERS = 4096
"""Headers kept: some ten kilobytes each."""

WHOLE_BAND = -1
"""Stands for a block number in the cache's keys."""

REMOTE_READERS = 32
"""Parts that are fetched at a time from remote stores, over all workers."""

type Fetched = Mapping[int, Buffer]
"""Blocks as they are stored, by number."""


@dataclass(frozen=True)
class _Piece:
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


class Coming:
    """A part that was asked for; remote bytes are on their way."""

    def __init__(self, reader: RasterReader, part: Part, fetched: Future[Fetched] | None) -> None:
        self._reader = reader
        self._part = part
        self._fetched = fetched

    def read_into(self, out: NDArray[Any]) -> None:
        """Fill `out` (y, x) with the part's pixels, in the dtype of `out`.

        Raises:
            RasterReadError: They cannot be read after all attempts.
        """
        _with_retries(lambda: self._reader.fill(self._part, self._take(), out))

    def _take(self) -> Fetched:
        """Return what was fetched, once: what fails later is fetched anew."""
        fetched, self._fetched = self._fetched, None
        return {} if fetched is None else fetched.result()


class RasterReader:
    """Opens rasters and reads windows of them; safe to share between threads."""

    def __init__(self, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._rasters: OrderedDict[str, Raster] = OrderedDict()
        self._cache = BlockCache(cache_bytes)
        self._pool = ThreadPoolExecutor(REMOTE_READERS, thread_name_prefix="fetch")
        self._lock = threading.Lock()
        self._scratch = _Scratch()
        self._free: list[NDArray[np.uint8]] = []

    @contextmanager
    def buffers(self) -> Iterator[Callable[[int], NDArray[np.uint8]]]:
        """Lend one large buffer, which grows as asked for: fresh pages cost time.

        Each array that is returned replaces the one before.
        """
        with self._lock:
            held = self._free.pop() if self._free else np.empty(0, np.uint8)

        def buffer(length: int) -> NDArray[np.uint8]:
            nonlocal held
            if len(held) < length:
                held = np.empty(0, np.uint8)  # before the next is made, not after
                held = np.empty(length, np.uint8)
            return held

        try:
            yield buffer
        finally:
            with self._lock:
                self._free.append(held)

    def open(self, href: str) -> Raster:
        """Return what a raster's header says; it is read once.

        Raises:
            RasterReadError: It cannot be read after all attempts.
        """
        with self._lock:
            known = self._rasters.get(href)
        if known is None:
            known = _with_retries(lambda: _open(href))
            with self._lock:
                self._rasters[href] = known
                while len(self._rasters) > MAX_HEADERS:
                    self._rasters.popitem(last=False)
        return known

    def open_many(self, hrefs: Sequence[str]) -> list[Raster | RasterReadError]:
        """Open several rasters, remote ones at the same time; failures are returned."""

        def attempt(href: str) -> Raster | RasterReadError:
            try:
                return self.open(href)
            except RasterReadError as error:
                return error

        # Local files are opened right here: the workers already keep every core busy.
        if all(objects.local_path(href) is not None for href in hrefs):
            return [attempt(href) for href in hrefs]
        return list(self._pool.map(attempt, hrefs))

    def read(self, raster: Raster, window: Window, band: int = 0) -> NDArray[Any]:
        """Return the pixels (y, x) of a window inside the raster.

        Raises:
            RasterReadError: They cannot be read after all attempts.
        """
        out = np.empty(window.shape_yx, raster.dtype.newbyteorder("="))
        self.fetch(Part(raster, window, band)).read_into(out)
        return out

    def fetch(self, part: Part) -> Coming:
        """Ask for a part: the bytes of a remote one are fetched from now on."""
        layout = part.raster.layout
        if layout is None or objects.local_path(part.raster.href) is not None:
            return Coming(self, part, None)
        return Coming(self, part, self._pool.submit(self._fetch_part, part, layout))

    def fill(self, part: Part, fetched: Fetched, out: NDArray[Any]) -> None:
        """Fill `out` with a part's pixels, in one attempt.

        Raises:
            RasterReadError: The raster has no such band.
            ValueError: The bytes are not what the header promises.
            OSError: They cannot be read.
        """
        raster = part.raster
        if part.band >= raster.bands:
            raise RasterReadError(f"it has {raster.bands} bands, and number {part.band + 1} is due")
        if raster.layout is None:
            out[:] = self._gdal_pixels(part)
            return
        pieces = _pieces(raster.layout, part)
        with _Blocks(raster.href, raster.layout, self._scratch, fetched) as blocks:
            blocks.fetch([piece.number for piece in pieces if not self._known(raster, piece)])
            for piece in pieces:
                if not piece.shared:
                    blocks.place(piece, part.band, out[piece.target])
            self._fill_shared(part, [piece for piece in pieces if piece.shared], blocks, out)

    def forget(self) -> None:
        """Free the memory of all headers and pixels; the reader goes on working."""
        with self._lock:
            self._rasters.clear()
            self._free.clear()
        self._cache.clear()

    def close(self) -> None:
        """End the threads and forget all pixels."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.forget()

    def _known(self, raster: Raster, piece: _Piece) -> bool:
        return piece.shared and self._cache.holds((raster.href, piece.number))

    def _fetch_part(self, part: Part, layout: TiffLayout) -> Fetched:
        wanted = [piece for piece in _pieces(layout, part) if not self._known(part.raster, piece)]
        return _fetch_blocks(part.raster.href, layout, [piece.number for piece in wanted])

    def _fill_shared(
        self, part: Part, pieces: Sequence[_Piece], blocks: _Blocks, out: NDArray[Any]
    ) -> None:
        def load(places: list[int]) -> list[Block]:
            return [blocks.decode(pieces[place].number) for place in places]

        layout = blocks.layout
        sample = 0 if layout.planar else part.band
        keys = [(part.raster.href, piece.number) for piece in pieces]
        shares = [piece.share for piece in pieces]
        for piece, block in zip(pieces, self._cache.get(keys, load, shares), strict=True):
            target = out[piece.target]
            if block.shape[0] < piece.corner_yx[0] + target.shape[0]:
                raise ValueError(f"a block has {block.shape[0]} rows, too few")
            copy_part(block, sample, layout.interleaved, *piece.corner_yx, target)

    def _gdal_pixels(self, part: Part) -> NDArray[Any]:
        if objects.local_path(part.raster.href) is not None:
            return gdal.read_part(part)
        # GDAL gets a remote file whole, so all of a band is decoded, once, and kept for a while.
        whole = Part(part.raster, part.raster.extent, part.band)
        (band,) = self._cache.get(
            [(part.raster.href, WHOLE_BAND, part.band)], lambda _: [gdal.read_part(whole)]
        )
        return band[part.window.slices()]


class _Scratch(threading.local):
    """A thread's buffers for one block: as it is stored, and inflated.

    They are kept, because fresh pages for each block cost as much as undoing the predictor.
    """

    def __init__(self) -> None:
        self._stored = memoryview(bytearray())
        self._inflated = np.empty(0, np.uint8)

    def stored(self, length: int) -> memoryview:
        if len(self._stored) < length:
            self._stored = memoryview(bytearray(2 * length))
        return self._stored[:length]

    def inflated(self, length: int) -> NDArray[np.uint8]:
        if len(self._inflated) < length:
            self._inflated = np.empty(length, np.uint8)
        return self._inflated


class _Blocks:
    """The blocks of one file while a part of it is read."""

    def __init__(self, href: str, layout: TiffLayout, scratch: _Scratch, fetched: Fetched) -> None:
        self.layout = layout
        self._href = href
        self._scratch = scratch
        self._fetched = dict(fetched)
        self._path = objects.local_path(href)
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
            self._fetched |= _fetch_blocks(self._href, self.layout, missing)

    def place(self, piece: _Piece, band: int, out: NDArray[Any]) -> None:
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


def _pieces(layout: TiffLayout, part: Part) -> list[_Piece]:
    """Return what a part takes of which blocks, row by row."""
    (size_y, size_x), window = layout.block_yx, part.window
    pieces = []
    for by in range(window.y0 // size_y, -(-window.y1 // size_y)):
        for bx in range(window.x0 // size_x, -(-window.x1 // size_x)):
            whole = Window(by * size_y, bx * size_x, (by + 1) * size_y, (bx + 1) * size_x)
            taken = whole.clipped(window)
            inside = whole.clipped(part.raster.extent)
            pieces.append(
                _Piece(
                    layout.number(part.band, by, bx),
                    (taken.y0 - whole.y0, taken.x0 - whole.x0),
                    taken.shifted(-window.y0, -window.x0).slices(),
                    _area(taken) / _area(inside) / layout.interleaved,
                )
            )
    return pieces


def _area(window: Window) -> int:
    height, width = window.shape_yx
    return height * width


def _fetch_blocks(href: str, layout: TiffLayout, numbers: Sequence[int]) -> dict[int, Buffer]:
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


def _open(href: str) -> Raster:
    try:
        layout = parse_tiff(lambda offset, length: _fetch_head(href, offset, length))
    except UnsupportedTiff:
        return gdal.open_raster(href)
    return Raster(
        href=href,
        shape_yx=layout.shape_yx,
        bands=layout.samples,
        dtype=layout.dtype,
        transform=layout.transform,
        crs=layout.crs,
        nodata=layout.nodata,
        layout=layout,
    )


def _fetch_head(href: str, offset: int, length: int) -> bytes:
    """Return up to `length` bytes: a small file may end before."""
    path = objects.local_path(href)
    if path is not None:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)
    location = objects.resolve(href)
    options: Any = {"range": (offset, offset + length)}
    return bytes(obstore.get(location.store, location.path, options=options).bytes())


def _with_retries[T](run: Callable[[], T]) -> T:
    """Run, and again after a pause; a file that is not there is not asked for again."""
    pause = FIRST_PAUSE_SECONDS
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return run()
        except (FileNotFoundError, PermissionError, LandloomError) as error:
            raise RasterReadError(_reason(error)) from error
        except (BaseError, OSError, ValueError, RasterioError) as error:
            if attempt == ATTEMPTS:
                raise RasterReadError(f"{_reason(error)} ({ATTEMPTS} attempts)") from error
        time.sleep(pause)
        pause *= 2
    raise AssertionError("unreachable")


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@lru_cache(maxsize=1)
def shared_reader() -> RasterReader:
    """Return the reader of this process, for tasks that run in several of its threads."""
    return RasterReader()
