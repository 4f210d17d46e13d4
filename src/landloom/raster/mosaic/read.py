"""The one door to scene rasters: a window of a file's pixels, whatever the file and its place.

Common GeoTIFFs are read block by block through `tiff`; anything else goes through GDAL. Overviews
are never used: mosaics are made at a dataset's own resolution.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import obstore
import rasterio
from affine import Affine
from numpy.typing import NDArray
from obstore.exceptions import BaseError
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window as GdalWindow

from landloom.errors import LandloomError
from landloom.raster.grid import Window
from landloom.raster.mosaic.blocks import Block, BlockCache
from landloom.raster.mosaic.tiff import TiffLayout, UnsupportedTiff, parse_tiff
from landloom.raster.store import objects

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.2
"""Between attempts; it doubles. The store below has retries of its own for HTTP errors."""

DEFAULT_CACHE_BYTES = 512 * 2**20
MAX_HEADERS = 4096
"""Headers kept: some ten kilobytes each."""

WHOLE_BAND = -1
"""Stands for a block number in the cache's keys."""

REMOTE_READERS = 16
"""Windows that are fetched at a time from remote stores, over all workers."""


class RasterReadError(Exception):
    """A raster could not be read after all attempts. The text is the reason alone."""


@dataclass(frozen=True)
class Raster:
    """A single-band raster: what its header says."""

    href: str
    shape_yx: tuple[int, int]
    dtype: np.dtype[Any]
    transform: Affine
    crs: str
    """An EPSG code, or WKT."""
    nodata: float | None
    layout: TiffLayout | None
    """None leaves reading to GDAL."""

    @property
    def extent(self) -> Window:
        """Return all of it as a window."""
        return Window(0, 0, *self.shape_yx)


class RasterReader:
    """Opens rasters and reads windows of them; safe to share between threads."""

    def __init__(self, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._rasters: OrderedDict[str, Raster] = OrderedDict()
        self._cache = BlockCache(cache_bytes)
        self._pool = ThreadPoolExecutor(REMOTE_READERS, thread_name_prefix="fetch")
        self._lock = threading.Lock()

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
        return self._at_once(self.open, [(href, (href,)) for href in hrefs])

    def read(self, raster: Raster, window: Window) -> NDArray[Any]:
        """Return the pixels (y, x) of a window inside the raster.

        Raises:
            RasterReadError: They cannot be read after all attempts.
        """
        if raster.layout is None and objects.local_path(raster.href) is not None:
            return _with_retries(lambda: _read_by_gdal(raster.href, window))
        if raster.layout is None:
            # GDAL gets a remote file whole, so all of it is decoded, once, and kept for a while.
            keys = [(raster.href, WHOLE_BAND)]
            (band,) = self._cache.get(
                keys, lambda _: [_with_retries(lambda: _read_by_gdal(raster.href, raster.extent))]
            )
            return band[window.slices()]
        layout = raster.layout
        return _with_retries(lambda: self._read_blocks(raster.href, layout, window))

    def read_many(
        self, wanted: Sequence[tuple[Raster, Window]]
    ) -> list[NDArray[Any] | RasterReadError]:
        """Read several windows, remote ones at the same time; failures are returned."""
        return self._at_once(self.read, [(raster.href, (raster, part)) for raster, part in wanted])

    def forget(self) -> None:
        """Free the memory of all headers and pixels; the reader goes on working."""
        with self._lock:
            self._rasters.clear()
        self._cache.clear()

    def close(self) -> None:
        """End the threads and forget all pixels."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.forget()

    def _at_once[T](
        self, run: Callable[..., T], calls: Sequence[tuple[str, tuple[Any, ...]]]
    ) -> list[T | RasterReadError]:
        def attempt(arguments: tuple[Any, ...]) -> T | RasterReadError:
            try:
                return run(*arguments)
            except RasterReadError as error:
                return error

        # Local files are read right here: the workers already keep every core busy decoding.
        if all(objects.local_path(href) is not None for href, _ in calls):
            return [attempt(arguments) for _, arguments in calls]
        return list(self._pool.map(attempt, [arguments for _, arguments in calls]))

    def _read_blocks(self, href: str, layout: TiffLayout, window: Window) -> NDArray[Any]:
        """Assemble a window; blocks that reach beyond it are kept for the neighbours."""
        out = np.empty(window.shape_yx, layout.dtype.newbyteorder("="))
        size_y, size_x = layout.block_yx
        across = -(-layout.shape_yx[1] // size_x)
        inner: list[int] = []
        shared: list[int] = []
        for by in range(window.y0 // size_y, -(-window.y1 // size_y)):
            for bx in range(window.x0 // size_x, -(-window.x1 // size_x)):
                whole = window.clipped(_block_window(layout, by * across + bx)).shape_yx
                (inner if whole == layout.block_yx else shared).append(by * across + bx)

        def load(places: list[int]) -> list[Block]:
            return _load_blocks(href, layout, [shared[place] for place in places])

        blocks = self._cache.get([(href, number) for number in shared], load)
        _scatter(layout, window, shared, blocks, out)
        _scatter(layout, window, inner, _load_blocks(href, layout, inner), out)
        return out


def _block_window(layout: TiffLayout, number: int) -> Window:
    size_y, size_x = layout.block_yx
    by, bx = divmod(number, -(-layout.shape_yx[1] // size_x))
    return Window(by * size_y, bx * size_x, (by + 1) * size_y, (bx + 1) * size_x)


def _scatter(
    layout: TiffLayout,
    window: Window,
    numbers: Sequence[int],
    blocks: Sequence[Block],
    out: NDArray[Any],
) -> None:
    """Copy blocks into the part of `out` (a window of the raster) that they cover."""
    for number, block in zip(numbers, blocks, strict=True):
        whole = _block_window(layout, number)
        part = whole.clipped(window)
        source = part.shifted(-whole.y0, -whole.x0).slices()
        out[part.shifted(-window.y0, -window.x0).slices()] = block[source]


def _load_blocks(href: str, layout: TiffLayout, numbers: Sequence[int]) -> list[Block]:
    """Fetch and decode blocks; one that was never written holds nodata, or 0 without nodata."""
    written = [number for number in numbers if layout.counts[number]]
    spans = [(int(layout.offsets[number]), int(layout.counts[number])) for number in written]
    decoded = {}
    for number, (_, length), data in zip(written, spans, _fetch(href, spans), strict=True):
        if len(data) != length:
            raise ValueError("the file is cut off")
        decoded[number] = layout.decode(data)
    return [decoded[number] if number in decoded else _empty_block(layout) for number in numbers]


def _empty_block(layout: TiffLayout) -> Block:
    return np.full(layout.block_yx, layout.nodata or 0, layout.dtype)


def _fetch(href: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
    """Return the bytes at each (offset, length)."""
    if not spans:
        return []
    path = objects.local_path(href)
    if path is not None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return [os.pread(descriptor, length, offset) for offset, length in spans]
        finally:
            os.close(descriptor)
    location = objects.resolve(href)
    starts = [offset for offset, _ in spans]
    lengths = [length for _, length in spans]
    buffers = obstore.get_ranges(location.store, location.path, starts=starts, lengths=lengths)
    return [bytes(buffer) for buffer in buffers]


def _open(href: str) -> Raster:
    try:
        layout = parse_tiff(lambda offset, length: _fetch_head(href, offset, length))
    except UnsupportedTiff:
        return _open_by_gdal(href)
    return Raster(
        href, layout.shape_yx, layout.dtype, layout.transform, layout.crs, layout.nodata, layout
    )


def _fetch_head(href: str, offset: int, length: int) -> bytes:
    """Return up to `length` bytes: a small file may end before."""
    if objects.local_path(href) is not None:
        return _fetch(href, [(offset, length)])[0]
    location = objects.resolve(href)
    options: Any = {"range": (offset, offset + length)}
    return bytes(obstore.get(location.store, location.path, options=options).bytes())


@contextmanager
def _gdal_dataset(href: str) -> Iterator[Any]:
    """Open a file with GDAL; a remote one is fetched by the store that its bucket belongs to."""
    path = objects.local_path(href)
    if path is not None:
        with rasterio.open(path) as dataset:
            yield dataset
        return
    location = objects.resolve(href)
    data = bytes(obstore.get(location.store, location.path).bytes())
    with MemoryFile(data) as memory, memory.open() as dataset:
        yield dataset


def _open_by_gdal(href: str) -> Raster:
    with _gdal_dataset(href) as dataset:
        if dataset.crs is None:
            raise RasterReadError("it has no CRS")
        epsg = dataset.crs.to_epsg()
        return Raster(
            href=href,
            shape_yx=(dataset.height, dataset.width),
            dtype=np.dtype(dataset.dtypes[0]),
            transform=dataset.transform,
            crs=dataset.crs.to_wkt() if epsg is None else f"EPSG:{epsg}",
            nodata=dataset.nodata,
            layout=None,
        )


def _read_by_gdal(href: str, window: Window) -> NDArray[Any]:
    with _gdal_dataset(href) as dataset:
        height, width = window.shape_yx
        pixels: NDArray[Any] = dataset.read(
            1, window=GdalWindow(window.x0, window.y0, width, height)
        )
        return pixels


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
