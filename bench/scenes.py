"""The scenes of the mosaic benchmarks: real pixels, mirror-tiled to the size of a tile archive's.

    python bench/scenes.py [--seed 0] [--side 4096] [--dates 8]

Makes, once, under `build/bench/scenes-...`: per date four uint16 bands of `side` px at 10 m and a
scene classification (SCL) at 20 m, all DEFLATE 6 with predictor 2 in blocks of 512 px; STAC items
in `items.json`; and `catalog.toml`, which names the dataset BENCH for `LANDLOOM_CATALOG`. Pixels
are those of the two inn-valley scenes of the samples, mirrored in both directions from another
place for each date, with noise of 2 DN; 30 % of each date are masked in smooth blobs, and no tile
of 1024 px is masked wholly.
"""

from __future__ import annotations

import argparse
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.warp import transform_bounds
from scipy import ndimage

from harness import BUILD, ROOT

CHIPS = ROOT / "samples" / "imagery" / "sentinel-2" / "inn-valley"
BANDS = ("B02", "B03", "B04", "B08")
CRS = "EPSG:32633"
WEST, NORTH = 359160.0, 5352360.0
"""Upper left corner, metres: a multiple of 10 and of 20."""

NOISE_DN = 2.0
MASKED = 0.3
BLOB_PX = 80
"""Pixels of the SCL between two nodes of the random field that makes the blobs."""

CLOUDY, CLEAR = (3, 8, 9, 10), (4, 5, 6)
DROPPED = (0, 1, 3, 7, 8, 9, 10)

CATALOG = """\
[datasets.BENCH]
about = "The scenes of the benchmarks"
prefix = "bench"
source = {{ kind = "static", href = "items.json" }}
resolution = 10.0
nodata = 0
radiometry = "none"
max_cloud_cover = 101.0
reducer = "median"
mask = {{ assets = ["SCL"], drop = {drop} }}
windows = []

[datasets.BENCH.bands]
B02 = ["B02"]
B03 = ["B03"]
B04 = ["B04"]
B08 = ["B08"]
"""


def bench_scenes(seed: int = 0, side: int = 4096, dates: int = 8) -> Path:
    """Return the folder of the scenes, which are made if they are not there."""
    folder = BUILD / f"scenes-{seed}-{side}-{dates}"
    if (folder / "catalog.toml").is_file():
        return folder
    unfinished = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    with ThreadPoolExecutor(2) as pool:
        items = list(pool.map(partial(_scene, unfinished, seed, side), range(dates)))
    document = {"type": "FeatureCollection", "features": items}
    (unfinished / "items.json").write_text(json.dumps(document))
    (unfinished / "catalog.toml").write_text(CATALOG.format(drop=list(DROPPED)))
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return folder


def area(side: int = 4096) -> dict[str, Any]:
    """Return the scenes' own extent as a GeoJSON geometry in EPSG:4326, cornered in UTM.

    Its bounds in UTM are those of the scenes less half a pixel, so a mosaic in the scenes' CRS has
    exactly `side` x `side` pixels.
    """
    inner = shapely.box(WEST + 5, NORTH - 10 * side + 5, WEST + 10 * side - 5, NORTH - 5)
    dense = shapely.segmentize(inner, 10 * side / 256)
    ring = [_to_degrees(x, y) for x, y in shapely.get_coordinates(dense)]
    return dict(shapely.geometry.mapping(shapely.Polygon(ring)))


def output_grid(epsg: int, side: int) -> Any:
    """Return the grid of a mosaic of `area(side)`."""
    from landloom.raster.grid import geobox_for  # noqa: PLC0415

    return geobox_for(shapely.geometry.shape(area(side)), epsg, 10.0)


def stac_items() -> list[Any]:
    """Return the scenes as STAC items with absolute paths."""
    import pystac  # noqa: PLC0415 - only peers need it

    folder = bench_scenes()
    features = json.loads((folder / "items.json").read_text())["features"]
    return [pystac.Item.from_dict(_absolute(item, folder)) for item in features]


def _to_degrees(x: float, y: float) -> tuple[float, float]:
    west, south, _, _ = transform_bounds(CRS, "EPSG:4326", x, y, x, y)
    return west, south


def _absolute(item: dict[str, Any], folder: Path) -> dict[str, Any]:
    for asset in item["assets"].values():
        asset["href"] = str(folder / asset["href"])
    return item


def _scene(folder: Path, seed: int, side: int, date: int) -> dict[str, Any]:
    """Write one date; return its STAC item."""
    rng = np.random.default_rng((seed, date))
    day = f"2023-06-{date + 1:02d}"
    place = Affine(10, 0, WEST, 0, -10, NORTH)
    chips = sorted(CHIPS.iterdir())
    chip = chips[date % len(chips)]
    start = rng.integers(0, 1000, 2)
    for band in BANDS:
        with rasterio.open(chip / f"{band}.tif") as file:
            pixels = _mirrored(file.read(1), side, start)
        noisy = pixels + rng.normal(0, NOISE_DN, pixels.shape).astype(np.float32)
        numbers = np.rint(np.clip(noisy, 1, 65535)).astype(np.uint16)
        _write(folder / day / f"{band}.tif", numbers, place, 0)
    classes = _classes(rng, -(-side // 2))
    _write(folder / day / "SCL.tif", classes, place @ Affine.scale(2), 0)
    return _item(folder, day, side, place)


def _mirrored(chip: NDArray[Any], side: int, start: NDArray[np.int64]) -> NDArray[Any]:
    """Return `side` x `side` pixels of the plane that a chip fills by mirroring at its edges."""
    places = []
    for axis, length in enumerate(chip.shape):
        place = (np.arange(side) + start[axis]) % (2 * length)
        places.append(np.where(place < length, place, 2 * length - 1 - place))
    return chip[np.ix_(*places)]


def _classes(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Return classes of which 30 % are dropped, in smooth blobs."""
    nodes = -(-side // BLOB_PX) + 3
    field = ndimage.zoom(rng.normal(size=(nodes, nodes)), BLOB_PX, order=3)[:side, :side]
    cloudy = field > np.quantile(field, 1 - MASKED)
    tile = min(512, side)
    assert all(
        not cloudy[y : y + tile, x : x + tile].all()
        for y in range(0, side, tile)
        for x in range(0, side, tile)
    ), "a whole tile is masked"
    kinds = np.floor(field * 1.5).astype(np.int64)
    return np.where(
        cloudy, np.take(CLOUDY, kinds % len(CLOUDY)), np.take(CLEAR, kinds % len(CLEAR))
    ).astype(np.uint8)


def _write(path: Path, pixels: NDArray[Any], place: Affine, nodata: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff", "height": pixels.shape[0], "width": pixels.shape[1], "count": 1,
        "dtype": pixels.dtype.name, "crs": CRS, "nodata": nodata, "transform": place,
        "tiled": True, "blockxsize": 512, "blockysize": 512,
        "compress": "deflate", "zlevel": 6, "predictor": 2,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(pixels, 1)


def _item(folder: Path, day: str, side: int, place: Affine) -> dict[str, Any]:
    with rasterio.open(folder / day / "B02.tif") as file:
        bounds = transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    # Its four corners, which is what archives tell of a scene.
    ring = [_to_degrees(*(place @ at)) for at in ((0, 0), (side, 0), (side, side), (0, side))]
    outline = dict(shapely.geometry.mapping(shapely.Polygon(ring)))
    assets = {
        band: {
            "href": f"{day}/{band}.tif",
            "type": "image/tiff; application=geotiff",
            "proj:shape": [side, side],
            "proj:transform": list(place)[:6],
        }
        for band in BANDS
    }
    assets["SCL"] = {
        "href": f"{day}/SCL.tif",
        "type": "image/tiff; application=geotiff",
        "proj:shape": [-(-side // 2), -(-side // 2)],
        "proj:transform": list(place @ Affine.scale(2))[:6],
    }
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": f"bench-{day}", "links": [],
        "stac_extensions": ["https://stac-extensions.github.io/projection/v1.1.0/schema.json"],
        "geometry": outline, "bbox": bounds,
        "properties": {
            "datetime": f"{day}T10:00:00Z", "eo:cloud_cover": 100 * MASKED, "proj:epsg": 32633,
        },
        "assets": assets,
    }  # fmt: skip


def main() -> None:
    """Read the command line and make the scenes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--dates", type=int, default=8)
    chosen = parser.parse_args()
    print(bench_scenes(chosen.seed, chosen.side, chosen.dates))


if __name__ == "__main__":
    main()
