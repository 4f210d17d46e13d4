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

from county.clouds import LEAST_COVER, MOST_COVER, Float, draw_skies, load_shapes
from county.ground import BANDS, Ground, load_ground
from county.scene import RESOLUTION, SceneFiles, Tile, write_band, write_classes
from county.stac import write_catalog
from county.tiles import cut_tiles, read_area
from landloom.raster.catalog.catalog import load_catalog

HERE = Path(__file__).resolve().parent
YEAR = 2023
DATASETS = {"planting": "S2_MED_PLANTING", "harvest": "S2_MED_HARVEST"}
WORKERS = 2
ATTEMPTS = 10
SAMPLE_STEP = 8
"""Every so many 20 m pixels are looked at to find how much cloud a sky makes."""


def make_scenes(aoi: Path, out: Path, *, seed: int = 0, per_season: int = 6) -> list[SceneFiles]:
    """Write scenes over the area of interest into `out` and return them.

    Raises:
        SystemExit: The file holds no area, or `out` holds something already.
    """
    out = out.absolute()
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
                days = _draw_days(tile, season, per_season, rng)
                scenes = _cloud(tile, season, days, out, (shapes, grounds[season]), rng)
                made += _fill(scenes, grounds[season], key, pool)
    write_catalog(made, out, HERE / "models" / "fields.pt2")
    return made


def _draw_days(tile: Tile, season: str, count: int, rng: np.random.Generator) -> list[dt.datetime]:
    """Return times within the season of the tile's latitude, evenly spread but for a bit."""
    first, last = load_catalog().dataset(DATASETS[season]).season(_latitude(tile))
    step = (last - first + 1) / count
    days = [first + int(step * number + rng.uniform(0.0, step)) for number in range(count)]
    new_year = dt.datetime(YEAR, 1, 1, 10, 30, tzinfo=dt.UTC)
    return [
        new_year + dt.timedelta(days=day - 1, seconds=number) for number, day in enumerate(days)
    ]


def _cloud(
    tile: Tile,
    season: str,
    days: list[dt.datetime],
    out: Path,
    material: tuple[list[Float], Ground],
    rng: np.random.Generator,
) -> list[SceneFiles]:
    """Write the scene classes of a season under skies whose clouds cover what they should."""
    shapes, ground = material
    for _ in range(ATTEMPTS):
        skies = draw_skies(shapes, len(days), _sample(tile), rng)
        scenes = []
        for number, (acquired, sky) in enumerate(zip(days, skies, strict=True)):
            name = f"RELOCATED_{tile.name}_{acquired:%Y%m%d}_{number}"
            folder = out / "scenes" / season / name
            folder.mkdir(parents=True, exist_ok=True)
            scenes.append(SceneFiles(name, season, acquired, tile, folder, sky))
        covers = write_classes(scenes, ground)
        # Clearing what must be clear can leave a sky with too little.
        if all(LEAST_COVER <= cover <= MOST_COVER for cover in covers):
            return [
                replace(scene, cover=cover) for scene, cover in zip(scenes, covers, strict=True)
            ]
    raise SystemExit(f"No skies over {tile.name} have the right cover: try another --seed.")


def _fill(
    scenes: list[SceneFiles], ground: Ground, key: tuple[int, ...], pool: ThreadPoolExecutor
) -> list[SceneFiles]:
    """Write the bands of scenes whose classes are there."""
    tasks = [
        pool.submit(write_band, scene, ground, band, (*key, number))
        for number, scene in enumerate(scenes)
        for band in range(len(BANDS))
    ]
    for task in tasks:
        task.result()
    return scenes


def _sample(tile: Tile) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(tile.row // 2, (tile.row + tile.height) // 2, SAMPLE_STEP)
    columns = np.arange(tile.column // 2, (tile.column + tile.width) // 2, SAMPLE_STEP)
    return rows, columns


def _latitude(tile: Tile) -> float:
    """Return the latitude of the tile's centre: the season rule of the datasets goes by it."""
    x, y = tile.transform(RESOLUTION) @ (tile.width / 2, tile.height / 2)
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
