"""The seam: a raster around the Earth, where a window of the output looks at both its ends.

Read as one part, these would be all of its columns. So each end is read and resampled by itself, by
the very loops and from the very places as elsewhere, and the two meet on the output's lattice.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landloom.raster.grid import Window
from landloom.raster.mosaic.composite import composite_window
from landloom.raster.mosaic.median import median_network
from landloom.raster.mosaic.placement import SourceMap
from landloom.raster.mosaic.raster import Part, Raster
from landloom.raster.mosaic.read import RasterReader
from landloom.raster.mosaic.resample import REACH
from landloom.raster.mosaic.tables import Tables, joined, paired


class BothEnds:
    """A window of the output's lattice, filled from both ends of a raster, as float32."""

    def __init__(
        self,
        reader: RasterReader,
        part: Part,
        sides: tuple[SourceMap, ...],
        window: Window,
        method: int,
        kind: np.dtype[Any],
        values: tuple[float, float, float, float],
    ) -> None:
        """Prepare for a window in global pixels.

        Args:
            reader: Reads the raster.
            part: The raster and its band; of the rest each side has a window of its own.
            sides: Where the window lies on each end.
            window: In global pixels of the output's lattice.
            method: NEAREST, BILINEAR or CUBIC.
            kind: What holds the raster's numbers while they are resampled.
            values: See `tables.VALUE_COLUMNS`.
        """
        self._reader = reader
        self._part = part
        self._sides = sides
        self._window = window
        self._method = method
        self._kind = kind
        self._values = values

    @property
    def raster(self) -> Raster:
        """Return what the header of such a raster would say."""
        shape, kind = self._window.shape_yx, np.dtype(np.float32)
        return replace(self._part.raster, shape_yx=shape, dtype=kind, nodata=None, masked=False)

    def read_into(self, out: NDArray[Any]) -> None:
        """Fill `out` (y, x), NaN where there is no value.

        Raises:
            RasterReadError: The raster cannot be read.
        """
        out[:] = math.nan
        for side in self._sides:
            shape = self._part.raster.shape_yx
            here = side.needed(shape, REACH[self._method], self._window)
            if not here.empty:
                found = self._resampled(side, replace(self._part, window=here))
                np.copyto(out, found, where=np.isnan(out))

    def _resampled(self, side: SourceMap, part: Part) -> NDArray[np.float32]:
        height, width = part.window.shape_yx
        pixels = np.zeros(height * width + width + 4, self._kind)  # a gather looks behind the last
        self._reader.fetch(part).read_into(pixels[: height * width].reshape(height, width))
        window = self._window
        tables = Tables(
            sources=np.zeros((1, 5), np.int64),
            values=np.array([self._values]),
            grids=np.array(
                [(part.window.y0, part.window.x0, height, width, *part.raster.shape_yx, 0)],
                np.int64,
            ),
            node_yx=(window.y0 - side.origin[0], window.x0 - side.origin[1]),
            **joined([side.lattice]),
        )  # fmt: skip
        shape = window.shape_yx
        bits, plane = np.ones((1, *shape), np.uint8), np.empty((1, *shape), np.float32)
        ends = np.zeros(2, self._kind)  # of one source alone, nothing is put aside
        composite_window(
            paired(pixels, shape[1]), tables, (0, 0, *shape), self._method, False, False,
            bits, bits, np.ones(shape, np.bool_), median_network(1), ends,
            np.float32(np.nan), plane,
        )  # fmt: skip
        found: NDArray[np.float32] = plane[0]
        return found
