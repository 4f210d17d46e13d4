"""What is left to GDAL: files that our own reader does not know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import obstore
import rasterio
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.windows import Window as GdalWindow

from landloom.raster.mosaic.raster import Part, Raster, RasterReadError
from landloom.raster.store import objects


def open_raster(href: str) -> Raster:
    """Return what a raster's header says.

    Raises:
        RasterReadError: It has no CRS.
        RasterioError: GDAL cannot open it.
    """
    with _dataset(href) as dataset:
        if dataset.crs is None:
            raise RasterReadError("it has no CRS")
        epsg = dataset.crs.to_epsg()
        return Raster(
            href=href,
            shape_yx=(dataset.height, dataset.width),
            bands=dataset.count,
            dtype=np.dtype(dataset.dtypes[0]),
            transform=dataset.transform,
            crs=dataset.crs.to_wkt() if epsg is None else f"EPSG:{epsg}",
            nodata=dataset.nodata,
            layout=None,
        )


def read_part(part: Part) -> NDArray[Any]:
    """Return the pixels (y, x) of a part.

    Raises:
        RasterioError: GDAL cannot read them.
    """
    height, width = part.window.shape_yx
    window = GdalWindow(part.window.x0, part.window.y0, width, height)
    with _dataset(part.raster.href) as dataset:
        pixels: NDArray[Any] = dataset.read(part.band + 1, window=window)
        return pixels


@contextmanager
def _dataset(href: str) -> Iterator[Any]:
    """Open a file; a remote one is fetched whole by the store that its bucket belongs to."""
    path = objects.local_path(href)
    if path is not None:
        with rasterio.open(path) as dataset:
            yield dataset
        return
    location = objects.resolve(href)
    data = bytes(obstore.get(location.store, location.path).bytes())
    with MemoryFile(data) as memory, memory.open() as dataset:
        yield dataset
