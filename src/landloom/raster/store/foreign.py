"""Stores that others wrote: read through xarray, as long as they look like a mosaic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from zarr.storage import ObjectStore, StorePath

from landloom.errors import StoreProblem
from landloom.raster.grid import Window
from landloom.raster.store import objects
from landloom.raster.store.layout import DIMENSIONS, VARIABLE


@dataclass(frozen=True)
class ForeignStore:
    """What a store says about itself."""

    geobox: GeoBox
    bands: tuple[str, ...]
    times: tuple[np.datetime64, ...]
    sizes: tuple[int, int]
    """Pixels a side of what is best written and best read together."""


def describe_foreign(uri: str) -> ForeignStore:
    """Return the geometry of a store that Landloom did not write.

    Raises:
        StoreProblem: It has no `variables` (time, band, y, x), no regular grid, or no CRS.
    """
    dataset = _open(uri)
    if VARIABLE not in dataset or dataset[VARIABLE].dims != DIMENSIONS:
        raise StoreProblem(
            f"{uri} is not a mosaic: it has no variable {VARIABLE!r} ({', '.join(DIMENSIONS)}).",
            suggestion="Pass the URI of a store made by build_mosaics or predict_mosaic.",
        )
    cube = dataset[VARIABLE]
    side = int(cube.encoding.get("chunks", (1, 1, 512, 512))[-1])
    return ForeignStore(
        geobox=_geobox(uri, dataset),
        bands=tuple(str(band) for band in cube["band"].values),
        times=tuple(np.array(cube["time"].values, "datetime64[s]")),
        sizes=(side, side),
    )


def read_foreign(
    uri: str, time_index: int, bands: Sequence[int], window: Window
) -> NDArray[np.float32]:
    """Return float32 (band, y, x) of a window inside the array."""
    rows, columns = window.slices()
    part = _open(uri)[VARIABLE][time_index, list(bands), rows, columns]
    return np.asarray(part.values, np.float32)


@lru_cache(maxsize=8)
def _open(uri: str) -> Any:
    location = objects.resolve(uri)
    path = StorePath(ObjectStore(location.store, read_only=True), location.path.rstrip("/"))
    try:
        return xr.open_zarr(path, consolidated=None, chunks=None)
    except Exception as error:
        raise StoreProblem(
            f"Cannot open {uri} as a Zarr store: {error}",
            suggestion="Pass the URI of a store made by build_mosaics or predict_mosaic.",
        ) from error


def _geobox(uri: str, dataset: Any) -> GeoBox:
    attributes = {**dataset.attrs, **dataset[VARIABLE].attrs}
    if "spatial_ref" in dataset.variables:
        attributes |= dataset["spatial_ref"].attrs
    keys = ("proj:code", "crs_wkt", "proj:wkt2", "spatial_ref")
    crs = next((attributes[key] for key in keys if key in attributes), None)
    y, x = dataset["y"].values, dataset["x"].values
    if crs is None or len(y) < 2 or len(x) < 2:  # noqa: PLR2004 - two centres give a pixel size
        raise StoreProblem(
            f"{uri} does not say where it is: no CRS, or fewer than two rows or columns.",
            suggestion="Add proj:code to its attributes.",
        )
    dx, dy = (x[-1] - x[0]) / (len(x) - 1), (y[-1] - y[0]) / (len(y) - 1)
    if dy > 0 or dx < 0:
        raise StoreProblem(f"{uri} is not north-up: y must descend and x ascend.")
    transform = Affine(dx, 0, x[0] - dx / 2, 0, dy, y[0] - dy / 2)
    return GeoBox((len(y), len(x)), transform, crs)
