"""The one door to scene rasters: a window of a file's pixels, whatever the file and its place.

Common GeoTIFFs are read block by block through `tiff`, straight into the array that is to hold the
window; anything else goes through GDAL. Parts of remote files can be fetched ahead, so that their
latency is spent while something else is computed. Overviews are never used: mosaics are made at a
dataset's own resolution.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import obstore
from numpy.typing import NDArray
from obstore.exceptions import BaseError

from landloom.errors import LandloomError
from landloom.raster.grid import Window
from landloom.raster.mosaic import gdal
from landloom.raster.mosaic.blocks import Block, BlockCache
from landloom.raster.mosaic.decode import copy_part
from landloom.raster.mosaic.raster import Part, Raster, RasterReadError
from landloom.raster.mosaic.stored import (
    BlockPiece,
    Fetched,
    Scratch,
    StoredBlocks,
    fetch_blocks,
    pieces_of,
)
from landloom.raster.mosaic.tiff import TiffLayout, UnsupportedTiff, parse_tiff
from landloom.raster.store import objects

__all__ = ["Coming", "Part", "Raster", "RasterReadError", "RasterReader", "shared_reader"]

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.2
"""Between attempts; it doubles. The store below has retries of its own for HTTP errors."""

DEFAULT_CACHE_BYTES = 96 * 2**20
"""A warp of eight dates takes 3 % more time with it than with half as much again, 48 MB less."""
MAX_HEADERS = 4096
"""Headers kept: some ten kilobytes each."""
MAX_EPOCHS = 64
"""Epochs remembered: as many workflows may run in a process at once without forgetting in turn."""

WHOLE_BAND = -1
"""Stands for a block number in the cache's keys."""

REMOTE_READERS = 32
"""Parts that are fetched at a time from remote stores, over all workers."""


class _Very:
    """A raster as it was opened then: its like under the same name may hold something else."""

    __slots__ = ("raster",)

    def __init__(self, raster: Raster) -> None:
        self.raster = raster

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Very) and other.raster is self.raster

    def __hash__(self) -> int:
        return id(self.raster)


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
        self._forgotten = 0
        self._epochs: OrderedDict[str, None] = OrderedDict()
        self._scratch = Scratch()
        self._free: list[NDArray[np.uint8]] = []
        self.renew()

    @property
    def epoch(self) -> str:
        """Name what the reader knows: all of it was read since this name was given."""
        with self._lock:
            return next(reversed(self._epochs))

    def renew(self) -> None:
        """Forget what was read, which may have changed, and begin another epoch."""
        self.follow(secrets.token_hex(8))

    def follow(self, epoch: str) -> None:
        """Begin the epoch that the reader of another process began, unless it has begun here."""
        with self._lock:
            if epoch in self._epochs:
                return
            self._epochs[epoch] = None
            while len(self._epochs) > MAX_EPOCHS:
                self._epochs.popitem(last=False)
        self.forget()

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
            known, forgotten = self._rasters.get(href), self._forgotten
        if known is None:
            known = _with_retries(lambda: _open(href))
            with self._lock:
                if self._forgotten == forgotten:  # else it may be older than what was forgotten
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
        if all(href in self._rasters or objects.local_path(href) is not None for href in hrefs):
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
        if layout is None or part.raster.path is not None:
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
            pixels = self._gdal_pixels(part)
            if raster.masked and out.dtype.kind != "f":
                pixels = np.nan_to_num(pixels, nan=0 if out.dtype.kind == "u" else -1)
            out[:] = pixels
            return
        pieces = pieces_of(raster.layout, part)
        with StoredBlocks(raster, raster.layout, self._scratch, fetched) as blocks:
            blocks.fetch([piece.number for piece in pieces if not self._known(raster, piece)])
            for piece in pieces:
                if not piece.shared:
                    blocks.place(piece, part.band, out[piece.target])
            shared = [piece for piece in pieces if piece.shared]
            if shared:
                self._fill_shared(part, shared, blocks, out)

    def forget(self) -> None:
        """Free the memory of all headers and pixels; the reader goes on working."""
        with self._lock:
            self._forgotten += 1
            self._rasters.clear()
            self._free.clear()
        self._cache.clear()

    def close(self) -> None:
        """End the threads and forget all pixels."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.forget()

    def _known(self, raster: Raster, piece: BlockPiece) -> bool:
        return piece.shared and self._cache.holds((_Very(raster), piece.number))

    def _fetch_part(self, part: Part, layout: TiffLayout) -> Fetched:
        wanted = [piece for piece in pieces_of(layout, part) if not self._known(part.raster, piece)]
        return fetch_blocks(part.raster.href, layout, [piece.number for piece in wanted])

    def _fill_shared(
        self, part: Part, pieces: Sequence[BlockPiece], blocks: StoredBlocks, out: NDArray[Any]
    ) -> None:
        def load(places: list[int]) -> list[Block]:
            return [blocks.decode(pieces[place].number) for place in places]

        layout = blocks.layout
        sample = 0 if layout.planar else part.band
        raster = _Very(part.raster)
        keys = [(raster, piece.number) for piece in pieces]
        shares = [piece.share for piece in pieces]
        for piece, block in zip(pieces, self._cache.get(keys, load, shares), strict=True):
            target = out[piece.target]
            if block.shape[0] < piece.corner_yx[0] + target.shape[0]:
                raise ValueError(f"a block has {block.shape[0]} rows, too few")
            copy_part(block, sample, layout.interleaved, *piece.corner_yx, target)

    def _gdal_pixels(self, part: Part) -> NDArray[Any]:
        if part.raster.path is not None:
            return gdal.read_part(part)
        # GDAL gets a remote file whole, so all of a band is decoded, once, and kept for a while.
        whole = Part(part.raster, part.raster.extent, part.band)
        (band,) = self._cache.get(
            [(_Very(part.raster), WHOLE_BAND, part.band)], lambda _: [gdal.read_part(whole)]
        )
        return band[part.window.slices()]


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
        except (BaseError, OSError, ValueError) as error:
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
