"""The mosaic against the decode alone and against odc-stac, in the scenes' CRS and in another.

    python bench/mosaic.py [CASE ...]        cases: same_crs 3857

Scenes are those of `scenes.py`. The limit is our own reader alone: every block, SCL included, read,
inflated, un-predicted and put into windows of a task's size on two threads; the same by
`imagecodecs` and by rasterio is timed beside it. The peer is odc-stac, tile by tile of 1024 px on
two threads with bottleneck's nanmedian, written as Zarr chunks. Ours is the whole workflow, from
request to finished Zarr. Every figure is from a fresh process, compiled before; `cold_s` is with
nothing compiled. What latency costs is in `mosaic_remote.py`, one worker in `mosaic_scaling.py`.

The case 3857 takes the north-western quarter of the scenes, for all alike: over the whole of them
three rounds of the peer take longer than ten minutes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from harness import (
    BUILD,
    Run,
    add_cases,
    cold,
    cpu,
    main_or_variant,
    measure,
    memory,
    report,
    sample_once,
    wall,
)
from referee import Referee
from scenes import BANDS, DROPPED, area, bench_scenes, output_grid, stac_items

ROUNDS = 3
LIMIT_ROUNDS = 7
"""Of ours and the limit in the case whose goal is their ratio: single rounds differ by a tenth."""
THREADS = 2
PEER_TILE = 1024
SIDE, SIDE_3857 = 4096, 2048
"""Scene pixels a side of the area."""
OUT = BUILD / "mosaic"
WINDOW = (datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC))


def prepare_ours(
    crs: str, side: str, workers: str = "2", catalog: str = "", name: str = "ours"
) -> Run:
    """Make a mosaic by the workflow's front door; a tiny one before makes the loops ready."""
    from landloom.raster.memory import return_free_memory  # noqa: PLC0415
    from landloom.raster.settings import EngineSettings  # noqa: PLC0415 - not what is timed
    from landloom.raster.workflow import run  # noqa: PLC0415
    from landloom.wire.requests import BuildMosaics  # noqa: PLC0415

    os.environ["LANDLOOM_CATALOG"] = catalog or str(bench_scenes() / "catalog.toml")
    os.environ["LANDLOOM_WORKERS"] = workers
    out = OUT / f"{name}-{crs}"

    def build(geometry: dict[str, Any], folder: Path) -> dict[str, Any]:
        shutil.rmtree(folder, ignore_errors=True)
        request = BuildMosaics(
            datasets=["BENCH"], aoi=geometry, start=WINDOW[0], end=WINDOW[1],
            target_crs=int(crs), cache=False,
        )  # fmt: skip
        settings = EngineSettings.from_environment().writing_to(str(folder))
        result = run(request, settings=settings, seed="bench", show=lambda _: None)
        assert result.mosaics
        return {"store": result.mosaics[0].location}

    whole = area(int(side))
    if "NUMBA_CACHE_DIR" not in os.environ:
        corner = shapely.geometry.shape(whole).centroid.buffer(0.003)
        build(dict(shapely.geometry.mapping(corner)), out.with_name(f"{out.name}-tiny"))
        return_free_memory()
    shutil.rmtree(out, ignore_errors=True)
    return lambda: build(whole, out)


class _Room(threading.local):
    """A thread's windows, which parts take turns in, as they do in a task's."""

    def __init__(self) -> None:
        self._windows: dict[Any, Any] = {}

    def window(self, shape_yx: tuple[int, int], dtype: Any) -> Any:
        key = shape_yx, str(dtype)
        if key not in self._windows:
            self._windows[key] = np.empty(shape_yx, dtype)
        return self._windows[key]


def prepare_limit(side: str, threads: str = str(THREADS)) -> Run:
    """Read every block into the windows of tasks of 2048 px, by our reader alone."""
    from landloom.raster.grid import tiles  # noqa: PLC0415
    from landloom.raster.mosaic.raster import Part  # noqa: PLC0415
    from landloom.raster.mosaic.read import RasterReader  # noqa: PLC0415

    paths = _paths()
    reader = RasterReader()
    room = _Room()

    def read(path: Path) -> None:
        raster = reader.open(str(path))
        pixels = int(side) * raster.shape_yx[0] // SIDE
        for tile in tiles((pixels, pixels), 2048 * raster.shape_yx[0] // SIDE):
            out = room.window(tile.window.shape_yx, raster.dtype)
            reader.fetch(Part(raster, tile.window)).read_into(out)

    read(paths[0])
    read(paths[-1])
    reader.forget()
    return lambda: _on_threads(read, paths, int(threads))


def prepare_imagecodecs(side: str) -> Run:
    """Do the same with imagecodecs, given where each block is."""
    import imagecodecs  # noqa: PLC0415

    from landloom.raster.mosaic.tiff import parse_tiff  # noqa: PLC0415

    def read(path: Path) -> None:
        with path.open("rb") as file:

            def read_bytes(offset: int, length: int) -> bytes:
                return os.pread(file.fileno(), length, offset)

            layout = parse_tiff(read_bytes)
            block_px = layout.block_yx[0]
            pixels = int(side) * layout.shape_yx[0] // SIDE
            out = np.empty((pixels, pixels), layout.dtype)
            size = block_px * block_px * layout.dtype.itemsize
            corners = range(0, pixels, block_px)
            for y, x in ((y, x) for y in corners for x in corners):
                number = layout.blocks.number(0, y // block_px, x // block_px)
                offset, count = int(layout.offsets[number]), int(layout.counts[number])
                raw = imagecodecs.deflate_decode(read_bytes(offset, count), out=size)
                block = np.frombuffer(raw, layout.dtype).reshape(block_px, block_px)
                part = out[y : y + block_px, x : x + block_px]
                decoded = imagecodecs.delta_decode(block, axis=-1)
                part[:] = decoded[: part.shape[0], : part.shape[1]]

    return lambda: _on_threads(read, _paths())


def prepare_rasterio(side: str) -> Run:
    """Do the same with rasterio, a file at a time."""
    import rasterio  # noqa: PLC0415
    from rasterio.windows import Window  # noqa: PLC0415

    def read(path: Path) -> None:
        with rasterio.open(path) as file:
            pixels = int(side) * file.height // SIDE
            file.read(1, window=Window(0, 0, pixels, pixels))

    return lambda: _on_threads(read, _paths())


def prepare_odc(crs: str, side: str) -> Run:
    """Make the mosaic by odc-stac, tile by tile."""
    import bottleneck  # noqa: PLC0415
    import zarr  # noqa: PLC0415
    from odc.geo.geobox import GeoboxTiles  # noqa: PLC0415
    from odc.stac import load  # noqa: PLC0415

    items = stac_items()
    keep = [value for value in range(256) if value not in DROPPED]
    geobox = output_grid(int(crs), int(side))
    out = OUT / f"odc-{crs}.zarr"
    shutil.rmtree(out, ignore_errors=True)
    cut = GeoboxTiles(geobox, (PEER_TILE, PEER_TILE))
    resampling = {"*": "bilinear", "SCL": "nearest"}

    def tile(target: Any, place: tuple[int, int]) -> None:
        loaded = load(
            items, bands=[*BANDS, "SCL"], geobox=cut[place], groupby="id", chunks=None, nodata=0,
            resampling=resampling, pool=None, progress=None,
        )  # fmt: skip
        kept = np.isin(loaded["SCL"].values, keep)
        y, x = place[0] * PEER_TILE, place[1] * PEER_TILE
        for band, name in enumerate(BANDS):
            pixels = loaded[name].values
            stack = np.where(kept & (pixels != 0), pixels, np.float32(np.nan))
            median = bottleneck.nanmedian(stack, axis=0)
            target[band, y : y + median.shape[0], x : x + median.shape[1]] = median

    def run() -> dict[str, Any]:
        target = zarr.create_array(
            str(out), shape=(len(BANDS), *geobox.shape), chunks=(1, PEER_TILE, PEER_TILE),
            dtype="float32", fill_value=float("nan"),
        )  # fmt: skip
        places = [(y, x) for y in range(cut.shape[0]) for x in range(cut.shape[1])]
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda place: tile(target, place), places))
        return {"store": str(out)}

    return run


VARIANTS = {
    "ours": prepare_ours,
    "limit": prepare_limit,
    "imagecodecs": prepare_imagecodecs,
    "rasterio": prepare_rasterio,
    "odc_stac": prepare_odc,
}


def case_same_crs() -> None:
    """Measure the mosaic in the scenes' own CRS."""
    _compare("same_crs", "32633", SIDE)
    ours, peer = mosaic_pixels("ours-32633"), mosaic_pixels("odc-32633")
    difference = float(np.nanmax(np.abs(ours - peer)))
    masks = bool((np.isnan(ours) == np.isnan(peer)).all())
    del ours, peer
    compared = {"max_difference": difference, "valid_mask_equal": masks}
    agree = masks and difference == 0
    _measure("mosaic_same_crs", "32633", SIDE, compared, agree=agree, limit_rounds=LIMIT_ROUNDS)


def case_3857() -> None:
    """Measure the mosaic to web Mercator, bilinear."""
    _compare("3857", "3857", SIDE_3857)
    ours, peer = mosaic_pixels("ours-3857"), mosaic_pixels("odc-3857")
    referee = Referee(output_grid(3857, SIDE_3857))
    compared = {**referee.compare_masks(ours, peer), **referee.compare_values(ours)}
    del ours, peer, referee
    agree = compared["valid_mask_equal"] and compared["gdal_within_1_dn"]
    _measure("mosaic_3857", "3857", SIDE_3857, compared, agree=agree)


def _compare(name: str, crs: str, side: int) -> None:
    """Make both outputs before anything is timed."""
    for variant in ("ours", "odc_stac"):
        sample_once(__file__, variant, [crs, side])
        print(f"{name}: {variant} made", file=sys.stderr)


def _measure(
    name: str,
    crs: str,
    side: int,
    compared: Mapping[str, Any],
    *,
    agree: bool,
    limit_rounds: int = ROUNDS,
) -> None:
    variants: dict[str, list[object]] = {
        **{decoder: [side] for decoder in ("imagecodecs", "rasterio", "limit")},
        **{whole: [crs, side] for whole in ("ours", "odc_stac")},
    }
    found = measure(__file__, variants, rounds=ROUNDS)
    pair = {key: variants[key] for key in ("limit", "ours")}
    for key, samples in measure(__file__, pair, rounds=limit_rounds - ROUNDS).items():
        found[key] += samples
    decoders = {key: wall(found[key]) for key in ("imagecodecs", "rasterio")}
    limit, cpus = wall(found["limit"]), {key: cpu(samples) for key, samples in found.items()}
    report(
        name,
        ours=wall(found["ours"]),
        limit=limit,
        peers={"odc_stac": wall(found["odc_stac"])},
        agree=agree,
        compared=compared,
        rounds=ROUNDS,
        limit_rounds=limit_rounds,
        scene_px_a_side=side,
        decoders=decoders,
        limit_vs_decoders={key: limit / it for key, it in decoders.items()},
        memory_bytes={key: memory(found[key]) for key in ("ours", "limit", "odc_stac")},
        vs_memory=memory(found["ours"]) / memory(found["odc_stac"]),
        cpu_s=cpus,
        cpu_vs_limit=cpus["ours"] / cpus["limit"],
        cpu_vs_odc_stac=cpus["odc_stac"] / cpus["ours"],
        cold_s=cold(__file__, "ours", [crs, side]).wall_s,
    )


def mosaic_pixels(name: str) -> np.ndarray[Any, Any]:
    """Return an output (band, y, x)."""
    import zarr  # noqa: PLC0415

    if name.startswith("odc"):
        return np.asarray(zarr.open_array(OUT / f"{name}.zarr")[:])
    (store,) = (OUT / name).rglob("*.zarr")
    return np.asarray(zarr.open_group(store)["variables"][0])


def _paths() -> list[Path]:
    """Return every file, the small ones last so that two threads end together."""
    paths = bench_scenes().rglob("*.tif")
    return sorted(paths, key=lambda path: (path.stem == "SCL", path))


def _on_threads(read: Any, paths: list[Path], threads: int = THREADS) -> dict[str, Any]:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, paths))
    return {}


CASES = {"same_crs": case_same_crs, "3857": case_3857}


def main() -> None:
    """Run the cases that are named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_cases(parser, CASES)
    for name in parser.parse_args().cases or CASES:
        CASES[name]()


if __name__ == "__main__":
    main_or_variant(VARIANTS, main)
