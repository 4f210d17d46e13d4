"""A scene raster: what its header says, and which of its pixels are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from affine import Affine

from landloom.raster.grid import Window
from landloom.raster.mosaic.tiff import TiffLayout
from landloom.raster.store import objects


class RasterReadError(Exception):
    """A raster could not be read after all attempts. The text is the reason alone."""


@dataclass(frozen=True)
class Raster:
    """A raster of one or several bands."""

    href: str
    shape_yx: tuple[int, int]
    bands: int
    dtype: np.dtype[Any]
    transform: Affine
    crs: str
    """An EPSG code, or WKT."""
    nodata: float | None
    layout: TiffLayout | None
    """None leaves reading to GDAL."""
    masked: bool = False
    """Whether a mask in the file hides pixels: they are NaN in arrays of floats, -1 in arrays of
    signed integers, 0 in others."""

    @cached_property
    def path(self) -> str | None:
        """Its path, if it is on this machine's disk."""
        path = objects.local_path(self.href)
        return None if path is None else str(path)

    @property
    def extent(self) -> Window:
        """Return all of it as a window."""
        return Window(0, 0, *self.shape_yx)


@dataclass(frozen=True)
class Part:
    """A window of one band of a raster."""

    raster: Raster
    window: Window
    """Inside the raster."""
    band: int = 0
    """From 0."""
