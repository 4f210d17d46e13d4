"""Make scenes for a place that has none, so that a whole county can be run offline.

Six or more scenes a season in 2023, within the season windows of the Sentinel-2 datasets: the real
pixels of the Inn valley, mirror-tiled, under real cloud shapes. Every item says that it is
relocated: the result tests the machine, it says nothing of the place.

    python samples/county_scenes.py --aoi COUNTY.geojson --out build/county
    LANDLOOM_CATALOG=build/county/catalog.toml landloom up --data DIR
"""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from pyproj import Transformer

from county.clouds import LEAST_COVER, MOST_COVER, Sky, draw_skies, load_shapes
from county.ground import BANDS, Ground, load_ground
from county.scene import RESOLUTION, SceneFiles, Tile, write_band, write_classes
from county.stac import write_catalog
from county.tiles import cut_tiles, read_area
from landloom.raster.catalog.catalog import load_catalog

HERE = Path(__file__).resolve().parent
YEAR = 2023
DATASETS = {"planting": "S2_MED_PLANTING", "harvest": "S2_MED_HARVEST"}
WORKERS = 2
SAMPLE_STEP = 8
"""Every so many 20 m pixels are looked at to find how much cloud a sky makes."""


def make_scenes(aoi: Path, out: Path, *, seed: int = 0, per_season: int = 6) -> list[SceneFiles]:
    """Write scenes over the area of interest into `out` and return them.

    Raises:
        SystemExit: The file holds no area, or `out` holds something already.
    """
    if out.exists() and any(out.iterdir()):
        raise SystemExit(f"{out} is not empty: name a new folder with --out.")
    tiles = cut_tiles(read_area(aoi))
    shapes = load_shapes(HERE / "imagery")
    grounds = {season: load_ground(HERE / "imagery", season) for season in DATASETS}
    made: list[SceneFiles] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for number, tile in enumerate(tiles):
            for turn, season in enumerate(DATASETS):
                key = (seed, number, turn)
                rng = np.random.default_rng(np.random.SeedSequence(key))
                skies = draw_skies(shapes, per_season, _sample(tile), rng)
                scenes = _plan(tile, season, out, skies, rng)
                made += _write(scenes, grounds[season], key, pool)
    write_catalog(made, out, HERE / "models" / "fields.pt2")
    return made


def _plan(
    tile: Tile, season: str, out: Path, skies: list[Sky], rng: np.random.Generator
) -> list[SceneFiles]:
    """Return the scenes of a tile and season: evenly spread over the season's days, a bit off."""
    first, last = load_catalog().dataset(DATASETS[season]).season(_latitude(tile))
    step = (last - first + 1) / len(skies)
    scenes = []
    for number, sky in enumerate(skies):
        day = first + int(step * number + rng.uniform(0.0, step))
        moment = dt.datetime(YEAR, 1, 1, 10, 30, number, tzinfo=dt.UTC) + dt.timedelta(day - 1)
        name = f"RELOCATED_{tile.name}_{moment:%Y%m%d}_{number}"
        folder = out / "scenes" / season / name
        folder.mkdir(parents=True)
        scenes.append(SceneFiles(name, season, moment, tile, folder, sky))
    return scenes


def _write(
    scenes: list[SceneFiles], ground: Ground, key: tuple[int, ...], pool: ThreadPoolExecutor
) -> list[SceneFiles]:
    covers = write_classes(scenes, ground)
    outside = [cover for cover in covers if not LEAST_COVER <= cover <= MOST_COVER]
    if outside:
        raise SystemExit(f"A sky covers {outside[0]:.0%} of a scene: try another --seed.")
    tasks = [
        pool.submit(write_band, scene, ground, band, (*key, number))
        for number, scene in enumerate(scenes)
        for band in range(len(BANDS))
    ]
    for task in tasks:
        task.result()
    return [replace(scene, cover=cover) for scene, cover in zip(scenes, covers, strict=True)]


def _sample(tile: Tile) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(tile.row // 2, (tile.row + tile.height) // 2, SAMPLE_STEP)
    columns = np.arange(tile.column // 2, (tile.column + tile.width) // 2, SAMPLE_STEP)
    return rows, columns


def _latitude(tile: Tile) -> float:
    """Return the latitude of the tile's centre: the season rule of the datasets goes by it."""
    x, y = tile.transform(RESOLUTION) * (tile.width / 2, tile.height / 2)
    to_degrees = Transformer.from_crs(tile.epsg, 4326, always_xy=True)
    return float(to_degrees.transform(x, y)[1])


def main() -> int:
    """Read the command line and make the scenes."""
    parser = argparse.ArgumentParser(description="Make relocated scenes over an area of interest.")
    parser.add_argument("--aoi", type=Path, required=True, help="GeoJSON or GeoParquet file")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=6, help="scenes a season and tile")
    chosen = parser.parse_args()
    if chosen.scenes < 6:
        parser.error("--scenes must be at least 6")
    scenes = make_scenes(chosen.aoi, chosen.out, seed=chosen.seed, per_season=chosen.scenes)
    size = sum(file.stat().st_size for file in chosen.out.rglob("*.tif"))
    print(f"{len(scenes)} scenes, {size / 1e9:.2f} GB in {chosen.out}")
    print(f"LANDLOOM_CATALOG={(chosen.out / 'catalog.toml').resolve()}")
    print(f"{shutil.disk_usage(chosen.out).free / 1e9:.0f} GB of the disk left", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
