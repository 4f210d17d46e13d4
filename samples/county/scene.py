"""One season's scenes over one tile, written strip by strip as Cloud-Optimized GeoTIFF."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from county.clouds import CIRRUS, CLOUDS, HIGH, MEDIUM, SHADOW, Sky, classify
from county.ground import BANDS, Ground

RESOLUTION, CLASS_RESOLUTION = 10, 20
BLOCK = 512
STRIP = 512
"""Rows of 10 m in memory at a time: whole blocks, so that none is written twice."""

CLOUD_WHITE = {"B02": 7200.0, "B03": 7000.0, "B04": 6900.0, "B08": 7300.0}
CLOUD_SHARE = {CIRRUS: 0.25, MEDIUM: 0.6, HIGH: 0.92}
SHADOW_LIGHT = 0.55
NOISE_NUMBERS = 3
COPY_THREADS = 2
LARGEST_NUMBER = 16000


@dataclass(frozen=True)
class Tile:
    """A rectangle of a UTM zone's lattice; its edges lie on whole 20 m pixels."""

    name: str
    epsg: int
    column: int
    """First 10 m pixel column, counted eastward from x = 0."""
    row: int
    """First 10 m pixel row, counted southward from y = 0."""
    width: int
    height: int

    def transform(self, resolution: int) -> Affine:
        """Return the transform of this tile's rasters of a resolution in metres."""
        return Affine(
            resolution, 0, self.column * RESOLUTION, 0, -resolution, -self.row * RESOLUTION
        )


@dataclass(frozen=True)
class SceneFiles:
    """A scene and where its rasters lie."""

    id: str
    season: str
    acquired: dt.datetime
    tile: Tile
    folder: Path
    sky: Sky = field(repr=False)
    cover: float = 0.0
    """Share of cloudy pixels, of all of the tile."""


def write_classes(scenes: list[SceneFiles], ground: Ground) -> list[float]:
    """Write SCL.tif of every scene of a season and tile; return each one's cloud cover, 0 to 1.

    All scenes go through the same strip together, because a pixel's scenes answer for one another.
    """
    tile = scenes[0].tile
    shape = (tile.height // 2, tile.width // 2)
    columns = np.arange(tile.column // 2, tile.column // 2 + shape[1])
    cloudy = np.zeros(len(scenes), dtype=np.int64)
    drafts = [scene.folder / "SCL.draft.tif" for scene in scenes]
    with ExitStack() as stack:
        files = [stack.enter_context(_draft(path, tile, "uint8")) for path in drafts]
        for start, stop in _strips(shape[0]):
            rows = np.arange(tile.row // 2 + start, tile.row // 2 + stop)
            classes = classify([scene.sky for scene in scenes], ground, rows, columns)
            cloudy += np.isin(classes, CLOUDS).sum(axis=(1, 2))
            for file, strip in zip(files, classes, strict=True):
                file.write(strip, 1, window=Window(0, start, shape[1], stop - start))
    for draft in drafts:
        _finish(draft, draft.with_name("SCL.tif"))
    return [float(count) / (shape[0] * shape[1]) for count in cloudy]


def write_band(scene: SceneFiles, ground: Ground, band: int, seed: tuple[int, ...]) -> None:
    """Write one band of a scene whose SCL.tif is there: the ground, its clouds and shadows."""
    name = BANDS[band]
    tile = scene.tile
    rng = np.random.default_rng(np.random.SeedSequence((*seed, band)))
    gain, offset = rng.uniform(0.97, 1.03), rng.uniform(-15.0, 15.0)
    columns = np.arange(tile.column, tile.column + tile.width)
    draft = scene.folder / f"{name}.draft.tif"
    with (
        rasterio.open(scene.folder / "SCL.tif") as classes,
        _draft(draft, tile, "uint16") as file,
    ):
        for start, stop in _strips(tile.height):
            rows = np.arange(tile.row + start, tile.row + stop)
            numbers = ground.read(band, rows, columns).astype(np.float32)
            numbers *= np.float32(gain)
            numbers += np.float32(offset)
            half = Window(0, start // 2, tile.width // 2, (stop - start) // 2)
            _cover(numbers, classes.read(1, window=half), CLOUD_WHITE[name])
            numbers += rng.integers(
                -NOISE_NUMBERS, NOISE_NUMBERS, numbers.shape, dtype=np.int8, endpoint=True
            )
            # 0 would mean that there is no data.
            strip = np.clip(numbers, 1, LARGEST_NUMBER).astype(np.uint16)
            file.write(strip, 1, window=Window(0, start, tile.width, stop - start))
    _finish(draft, scene.folder / f"{name}.tif")


def _cover(numbers: NDArray[np.float32], classes: NDArray[np.uint8], white: float) -> None:
    """Lay clouds and shadows over (y, x) numbers of 10 m, in place; `classes` are of 20 m."""
    light = np.ones(256, dtype=np.float32)
    veil = np.zeros(256, dtype=np.float32)
    light[SHADOW] = SHADOW_LIGHT
    for kind, share in CLOUD_SHARE.items():
        light[kind] = 1.0 - share
        veil[kind] = share * white
    # A view in which each pixel of 20 m holds its four of 10 m, so that nothing is enlarged.
    height, width = classes.shape
    fine = numbers.reshape(height, 2, width, 2)
    fine *= light[classes][:, None, :, None]
    fine += veil[classes][:, None, :, None]


def _strips(height: int) -> Iterator[tuple[int, int]]:
    for start in range(0, height, STRIP):
        yield start, min(start + STRIP, height)


def _draft(path: Path, tile: Tile, dtype: str) -> rasterio.io.DatasetWriter:
    """Open an uncompressed raster to be filled: COG's driver copies, it cannot be written into."""
    scale = 2 if dtype == "uint8" else 1
    return rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=dtype,
        count=1,
        width=tile.width // scale,
        height=tile.height // scale,
        crs=f"EPSG:{tile.epsg}",
        transform=tile.transform(RESOLUTION * scale),
        nodata=0,
        tiled=True,
        blockxsize=BLOCK,
        blockysize=BLOCK,
    )


def _finish(draft: Path, out: Path) -> None:
    rasterio.shutil.copy(
        draft,
        out,
        driver="COG",
        COMPRESS="DEFLATE",
        PREDICTOR="2",
        BLOCKSIZE=str(BLOCK),
        OVERVIEW_RESAMPLING="NEAREST",
        # Threads of GDAL's own: the copy does not let go of Python's lock.
        NUM_THREADS=str(COPY_THREADS),
    )
    draft.unlink()
