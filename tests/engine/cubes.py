"""Small stores, made of arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from landloom.raster.grid import Window, tiles
from landloom.raster.store.zarr import CubeStore

ORIGIN_YX = (-532_003, 40_007)
"""Lattice index of the first pixel, unless a test says otherwise: no multiple of any patch."""


def cube(
    folder: Path,
    pixels: NDArray[np.float32],
    *,
    shard: int = 64,
    chunk: int = 32,
    origin_yx: tuple[int, int] = ORIGIN_YX,
    bands: list[str] | None = None,
    epsg: int = 32633,
    resolution: float = 10,
    dtype: str = "float32",
    time_deltas: list[np.timedelta64] | None = None,
    first_year: int = 2023,
    shape_yx: tuple[int, int] | None = None,
    finished: bool = True,
) -> CubeStore:
    """Write pixels (time, band, y, x), or (band, y, x) for one time step, as a store.

    With `shape_yx` the store is made that large, and nothing is written.
    """
    steps = pixels if pixels.ndim == 4 else pixels[None]
    _, count, height, width = (*steps.shape[:2], *(shape_yx or steps.shape[2:]))
    gy, gx = origin_yx
    transform = Affine(resolution, 0, gx * resolution, 0, -resolution, -gy * resolution)
    store = CubeStore.create(
        str(folder),
        geobox=GeoBox((height, width), transform, f"EPSG:{epsg}"),
        bands=bands or [f"b{number}" for number in range(count)],
        times=[np.datetime64(f"{first_year + step}-01-01") for step in range(len(steps))],
        attributes={},
        shard=shard,
        chunk=chunk,
        dtype=dtype,
        time_deltas=time_deltas,
    )
    for step, values in enumerate(steps if shape_yx is None else ()):
        for tile in tiles(store.shape_yx, shard):
            rows, columns = tile.window.slices()
            store.write_shard(step, tile.iy, tile.ix, [(tile.window, values[:, rows, columns])])
    return store.finish({}) if finished else store


def all_pixels(store: CubeStore, time_index: int = 0) -> NDArray[np.float32]:
    """Return (band, y, x) of a whole time step."""
    return store.read(time_index, None, Window(0, 0, *store.shape_yx))


def unheard(*_: object) -> None:
    """Take a report and do nothing with it."""


def never() -> bool:
    """Answer whether the work was cancelled: it was not."""
    return False
