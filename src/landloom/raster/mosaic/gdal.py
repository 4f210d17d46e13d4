"""What is left to GDAL: files that our own reader does not know, those with a mask among them.

It is loaded when the first of them comes: 30 MB that most mosaics do without.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import obstore
from numpy.typing import NDArray

from landloom.raster.mosaic.raster import Part, Raster, RasterReadError
from landloom.raster.store import objects

WIDE_BYTES = 4
"""Numbers from this size on become float64 to keep their value, smaller ones float32."""


def open_raster(href: str) -> Raster:
    """Return what a raster's header says.

    Raises:
        RasterReadError: It has no CRS.
        OSError: GDAL cannot open it.
    """
    from rasterio.enums import MaskFlags  # noqa: PLC0415 - as above

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
            # An alpha band is a mask by these flags, too, but it may as well be a band of data.
            masked=[MaskFlags.per_dataset] in dataset.mask_flag_enums,
        )


def read_part(part: Part) -> NDArray[Any]:
    """Return the pixels (y, x) of a part; those that a mask hides are NaN, and the others floats.

    Raises:
        OSError: GDAL cannot read them.
    """
    from rasterio.windows import Window as GdalWindow  # noqa: PLC0415 - as above

    height, width = part.window.shape_yx
    window = GdalWindow(part.window.x0, part.window.y0, width, height)
    with _dataset(part.raster.href) as dataset:
        pixels: NDArray[Any] = dataset.read(part.band + 1, window=window)
        if not part.raster.masked:
            return pixels
        wide = np.float32 if pixels.dtype.itemsize < WIDE_BYTES else np.float64
        hidden = dataset.read_masks(part.band + 1, window=window) == 0
        return np.where(hidden, wide(np.nan), pixels.astype(wide))


@contextmanager
def _dataset(href: str) -> Iterator[Any]:
    """Open a file; a remote one is fetched whole by the store that its bucket belongs to.

    Raises:
        OSError: GDAL fails, while it opens the file or in what is done with it.
    """
    import rasterio  # noqa: PLC0415 - as above
    from rasterio.errors import RasterioError  # noqa: PLC0415
    from rasterio.io import MemoryFile  # noqa: PLC0415

    path = objects.local_path(href)
    try:
        if path is not None:
            with rasterio.open(path) as dataset:
                yield dataset
            return
        location = objects.resolve(href)
        data = bytes(obstore.get(location.store, location.path).bytes())
        with MemoryFile(data) as memory, memory.open() as dataset:
            yield dataset
    except RasterioError as error:
        raise OSError(str(error)) from error
