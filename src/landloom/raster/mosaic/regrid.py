"""Resampling by GDAL: what our own loops do not know, on the output's grid.

GDAL warps block by block of the output's global lattice, from a part of the source that follows
from the block alone, with an exact transform and a kernel width that follows from the source alone.
So its numbers, too, do not depend on how the output was cut.
"""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from landloom.raster.grid import Window
from landloom.raster.mosaic.placement import source_map
from landloom.raster.mosaic.raster import Part, Raster
from landloom.raster.mosaic.read import RasterReader
from landloom.raster.mosaic.warp import OutputGrid, coordinate_map, transformer
from landloom.wire.enums import ResamplingMethod

BLOCK_PX = 256
"""Output pixels a side of what GDAL warps at a time."""

KERNEL_PX = 4
"""Source pixels that GDAL's widest kernel (Lanczos) reaches where nothing shrinks, and one more."""


class Regridded:
    """A window of the output's lattice, filled from a raster by GDAL. Its pixels are float32."""

    def __init__(
        self,
        reader: RasterReader,
        raster: Raster,
        band: int,
        nodata: float | None,
        grid: OutputGrid,
        window: Window,
        method: ResamplingMethod,
        scale: tuple[float, float],
    ) -> None:
        """Take `window` in global pixels; `scale` is what `shrinking` returns."""
        self._reader = reader
        self._source = raster
        self._band = band
        self._nodata = nodata
        self._grid = grid
        self._window = window
        self._method = method.value
        self._scale = scale

    @property
    def raster(self) -> Raster:
        """Return what the header of such a raster would say."""
        shape = self._window.shape_yx
        return replace(
            self._source, shape_yx=shape, dtype=np.dtype(np.float32), nodata=None, masked=False
        )

    def read_into(self, out: NDArray[Any]) -> None:
        """Fill `out` (y, x), NaN where there is no value.

        Raises:
            RasterReadError: The raster cannot be read.
        """
        window, size = self._window, BLOCK_PX
        for by in range(window.y0 // size, -(-window.y1 // size)):
            for bx in range(window.x0 // size, -(-window.x1 // size)):
                block = Window(by * size, bx * size, (by + 1) * size, (bx + 1) * size)
                inside = block.clipped(window)
                target = inside.shifted(-window.y0, -window.x0).slices()
                out[target] = self._block(block)[inside.shifted(-block.y0, -block.x0).slices()]

    def _block(self, block: Window) -> NDArray[np.float32]:
        result = np.full(block.shape_yx, np.nan, np.float32)
        raster = self._source
        coordinates = coordinate_map(self._grid, raster.crs, block)
        nodes = source_map(coordinates, raster.transform, raster.shape_yx)
        reach = math.ceil(KERNEL_PX / min(1.0, *self._scale)) + 1
        for side in nodes.sides(raster.shape_yx, block):
            part = side.needed(raster.shape_yx, reach, block)
            if not part.empty:
                found = self._warped(block, part)
                np.copyto(result, found, where=np.isnan(result))
        if raster.dtype.kind in "iu":
            np.floor(result + np.float32(0.5), out=result)
        return result

    def _warped(self, block: Window, part: Window) -> NDArray[np.float32]:
        """Return what GDAL makes of a part of the source, NaN where there is no value."""
        from rasterio.enums import Resampling  # noqa: PLC0415 - only what our loops do not know
        from rasterio.warp import reproject  # noqa: PLC0415 - needs GDAL

        result = np.full(block.shape_yx, np.nan, np.float32)
        raster, pixel = self._source, self._grid.resolution
        kind = np.dtype(np.float64) if raster.masked else raster.dtype.newbyteorder("=")
        found = np.empty(part.shape_yx, kind)
        self._reader.fetch(Part(raster, part, self._band)).read_into(found)
        pixels = found.astype(np.float32)
        if self._nodata is not None:
            pixels[found == self._nodata] = np.nan
        place = raster.transform @ Affine.translation(part.x0, part.y0)
        reproject(
            pixels, result, src_crs=raster.crs, src_transform=place,
            src_nodata=math.nan, dst_crs=self._grid.crs, dst_nodata=math.nan,
            dst_transform=Affine(pixel, 0, block.x0 * pixel, 0, -pixel, -block.y0 * pixel),
            resampling=Resampling[self._method], tolerance=0, num_threads=1,
            XSCALE=self._scale[0], YSCALE=self._scale[1],
        )  # fmt: skip
        return result


def shrinking(
    grid: OutputGrid, crs: str, transform: Affine, shape_yx: tuple[int, int]
) -> tuple[float, float]:
    """Return how many output pixels a source pixel is wide and high, at the source's centre.

    That is what GDAL widens its kernels by where it is below 1. (1, 1) where the centre has no
    place in the output's CRS.
    """
    return _shrinking(grid.crs, grid.resolution, crs, transform, shape_yx, threading.get_ident())


@lru_cache(maxsize=4096)
def _shrinking(
    grid_crs: str,
    pixel: float,
    crs: str,
    transform: Affine,
    shape_yx: tuple[int, int],
    thread: int,
) -> tuple[float, float]:
    del thread  # a Transformer belongs to one thread
    row, column = shape_yx[0] / 2, shape_yx[1] / 2
    points = [transform @ point for point in ((column, row), (column + 1, row), (column, row + 1))]
    x, y = transformer(crs, grid_crs).transform(*np.transpose(points))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return 1.0, 1.0
    across = math.hypot(x[1] - x[0], y[1] - y[0]) / pixel
    down = math.hypot(x[2] - x[0], y[2] - y[0]) / pixel
    return across, down
