"""Peak memory while the area grows: 2k x 2k against 8k x 8k pixels, for each stage.

    python bench/memory.py [CASE ...]        cases: mosaic predict vectorize network

`growth` is the share by which the peak resident memory of a fresh process grows as the area grows
16 times; at most 0.15 of it is what a bounded engine may show. `ours` and `limit` are the peaks in
bytes of the large and the small area. All sizes are the usual ones. The small area's result must be
the large one's there, as far as its edges have no say in it.

The network case vectorizes roads that hang together over the whole area, one polygon as large as
it: its corners wait on disk, and memory is bounded by NETWORK_BYTES for each of them; its areas are
held against the pixels.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from harness import (
    BUILD,
    Run,
    add_cases,
    main_or_variant,
    measure,
    memory,
    report,
    sample_once,
    wall,
)
from scenes import NORTH, WEST, area, bench_scenes

SMALL, LARGE = 2048, 8192
DATES = 4
ROUNDS = 3
WORKERS = 2
OUT = BUILD / "memory"

type Fields = Mapping[str, Any]
"""What a variant returned of its run."""

ALLOWED_GROWTH = 0.15
NETWORK_BYTES = 64
"""For each corner of the one polygon: as numbers, as text of the file, and once sorted."""

PATCH = 256

FIELD_PX = 2.5
"""Makes a field of every 126 pixels, as many as the vectorize benchmark has."""

STREET_PX, BLOCK_PX = 3, 61
"""A road's width, and from one road to the next."""


def prepare_mosaic(side: str) -> Run:
    """Build a mosaic of so many pixels a side."""
    from landloom.raster.settings import EngineSettings  # noqa: PLC0415 - not what is measured
    from landloom.raster.workflow import run  # noqa: PLC0415
    from landloom.wire.requests import BuildMosaics  # noqa: PLC0415

    scenes = bench_scenes(side=LARGE, dates=DATES)
    os.environ["LANDLOOM_CATALOG"] = str(scenes / "catalog.toml")
    out = _fresh(f"mosaic-{side}")
    request = BuildMosaics(
        datasets=["BENCH"], aoi=area(int(side)), start=datetime(2023, 1, 1, tzinfo=UTC),
        end=datetime(2024, 1, 1, tzinfo=UTC), target_crs=32633, cache=False,
    )  # fmt: skip
    said = {**os.environ, "LANDLOOM_WORKERS": str(WORKERS)}
    settings = EngineSettings.from_environment(said).writing_to(str(out))
    return lambda: _told(run(request, settings=settings, seed="bench", show=lambda _: None))


def prepare_predict(side: str) -> Run:
    """Run a small network over a mosaic of so many pixels a side."""
    from landloom.raster.execute.local import LocalExecutor  # noqa: PLC0415
    from landloom.raster.models.load import load_model  # noqa: PLC0415
    from landloom.raster.models.registry import ModelFile, sha256_of  # noqa: PLC0415
    from landloom.raster.predict.mosaic import predict_mosaic  # noqa: PLC0415
    from landloom.raster.store.zarr import CubeStore  # noqa: PLC0415
    from landloom.wire.requests import Inference  # noqa: PLC0415

    source = CubeStore.open(str(_store("pixels", int(side), 2)))
    path = _network()
    inference = Inference(
        model_path=str(path), patch_size=256, clip_size=32, features=list(source.bands),
        labels=["a", "b", "c"], max_batch_size=4,
    )  # fmt: skip
    model = load_model(ModelFile(path, sha256_of(path), path.name), "cpu")
    executor = LocalExecutor(WORKERS)
    out = _fresh(f"predict-{side}")

    def predict() -> dict[str, Any]:
        row = predict_mosaic(
            source, inference, model, f"{out}/p.zarr", executor=executor, report=_unheard,
            warn=_unheard, cancelled=bool,
        )  # fmt: skip
        return {"store": row.location}

    return predict


def prepare_vectorize(side: str, kind: str = "fields") -> Run:
    """Vectorize a prediction of so many pixels a side."""
    from landloom.raster.execute.local import LocalExecutor  # noqa: PLC0415
    from landloom.raster.store.zarr import CubeStore  # noqa: PLC0415
    from landloom.raster.vectorize.config import VectorizeConfig  # noqa: PLC0415
    from landloom.raster.vectorize.mosaic import vectorize_mosaic  # noqa: PLC0415

    source = CubeStore.open(str(_store(kind, int(side), 1)))
    config = VectorizeConfig.parse({"stats": True}, [source.bands[0]], 0.5)
    executor = LocalExecutor(WORKERS)
    out = _fresh(f"{kind}-{side}")

    def vectorize() -> dict[str, Any]:
        _, count = vectorize_mosaic(
            source, config, f"{out}/v.parquet", 32633, executor=executor, report=_unheard,
            warn=_unheard, cancelled=bool,
        )  # fmt: skip
        return {"polygons": count, "store": f"{out}/v.parquet"}

    return vectorize


def prepare_stores() -> Run:
    """Make the scenes and stores that the cases read."""

    def make() -> dict[str, Any]:
        bench_scenes(side=LARGE, dates=DATES)
        for side in (SMALL, LARGE):
            _store("pixels", side, 2)
            for kind in ("fields", "network"):
                _store(kind, side, 1)
        return {}

    return make


def _store(kind: str, side: int, bands: int) -> Path:
    """Return a store of scores or pixels, made once, tile by tile."""
    from odc.geo.geobox import GeoBox  # noqa: PLC0415

    from landloom.raster.grid import tiles  # noqa: PLC0415
    from landloom.raster.store.zarr import CubeStore  # noqa: PLC0415

    path = OUT / f"{kind}-{side}.zarr"
    store = CubeStore.create(
        str(path),
        geobox=GeoBox((side, side), Affine(10, 0, WEST, 0, -10, NORTH), "EPSG:32633"),
        bands=[f"b{number}" for number in range(bands)],
        times=[np.datetime64("2023-01-01")],
        attributes={},
    )
    if store.complete:
        return path
    for tile in tiles(store.shape_yx, store.shard):
        y0, x0 = tile.window.y0, tile.window.x0
        pixels = np.stack([_pixels(kind, y0, x0, *tile.window.shape_yx)] * bands)
        store.write_shard(0, tile.iy, tile.ix, [(tile.window, pixels)])
    store.finish({})
    return path


def _pixels(kind: str, y0: int, x0: int, height: int, width: int) -> NDArray[np.float32]:
    """Return values that follow from the place: the same in any tile."""
    y, x = np.mgrid[y0 : y0 + height, x0 : x0 + width]
    if kind == "network":
        wave = (np.sin(y / 37.0) * 5 + np.sin(x / 23.0) * 5).astype(np.int64)
        street = ((y + wave) % BLOCK_PX < STREET_PX) | ((x + wave) % BLOCK_PX < STREET_PX)
        return np.where(street, 0.9, 0.1).astype(np.float32)
    noise = np.random.default_rng((y0, x0)).random((height, width), np.float32)
    field = np.sin(y / FIELD_PX) * np.sin(x / FIELD_PX) + 0.3 * np.sin((x + y) / 41.0)
    if kind == "pixels":
        return (1000 + 500 * field + 50 * noise).astype(np.float32)
    return np.clip(0.45 + 0.5 * field + 0.02 * noise, 0, 1).astype(np.float32)


def _network() -> Path:
    """Return a small exported network with random weights."""
    import torch  # noqa: PLC0415
    from torch.export import Dim, export  # noqa: PLC0415
    from torch.export.pt2_archive._package import package_pt2  # noqa: PLC0415

    path = OUT / "network.pt2"
    if not path.exists():
        torch.manual_seed(7)
        net = torch.nn.Sequential(
            torch.nn.Conv2d(2, 8, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, 3, 3, padding=1),
        ).eval()
        shape = {"input": {0: Dim("batch", min=1, max=64)}}
        program = export(net, (torch.zeros(2, 2, 256, 256),), dynamic_shapes=(shape["input"],))
        partial = path.with_suffix(".partial.pt2")
        package_pt2(str(partial), exported_programs={"model": program})
        partial.replace(path)
    return path


def _fresh(name: str) -> Path:
    folder = OUT / "made" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _told(result: Any) -> dict[str, Any]:
    return {"store": result.mosaics[0].location}


def _unheard(*_: object) -> None:
    pass


VARIANTS = {
    "stores": prepare_stores,
    "mosaic": prepare_mosaic,
    "predict": prepare_predict,
    "vectorize": prepare_vectorize,
}
CASES = {
    "mosaic": ("mosaic", ()),
    "predict": ("predict", ()),
    "vectorize": ("vectorize", ("fields",)),
    "network": ("vectorize", ("network",)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_cases(parser, CASES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    measure(__file__, {"stores": []}, rounds=1)
    for case in given.cases or CASES:
        name, more = CASES[case]
        sides = {"small": [SMALL, *more], "large": [LARGE, *more]}
        names = dict.fromkeys(sides, name)
        # Once before anything counts: it compiles, fills the page cache, and is compared.
        made = {side: sample_once(__file__, name, said).fields for side, said in sides.items()}
        agree, more_fields = AGREE[case](made["small"], made["large"])
        found = measure(__file__, sides, rounds=given.rounds, names=names)
        small, large = memory(found["small"]), memory(found["large"])
        corners = more_fields.get("corners", 0)
        bound = {"bound_bytes": small + NETWORK_BYTES * corners} if corners else {}
        report(
            f"memory_{case}",
            ours=large,
            limit=bound.get("bound_bytes", small * (1 + ALLOWED_GROWTH)),
            peers={},
            agree=agree,
            rounds=given.rounds,
            growth=large / small - 1,
            small=small,
            wall_s=[wall(found["small"]), wall(found["large"])],
            **more_fields,
            **bound,
            **({"bytes_per_corner": (large - small) / corners} if corners else {}),
        )


def _same_pixels(edge: int, small: Fields, large: Fields) -> tuple[bool, Fields]:
    """Compare the small area with the same window of the large one, but for `edge` pixels."""
    from landloom.raster.grid import Window  # noqa: PLC0415
    from landloom.raster.store.zarr import CubeStore  # noqa: PLC0415

    here = Window(0, 0, SMALL - edge, SMALL - edge)
    one, other = (CubeStore.open(each["store"]).read(0, None, here) for each in (small, large))
    return bool(np.isfinite(one).any() and np.array_equal(one, other, equal_nan=True)), {}


def _same_fields(small: Fields, large: Fields) -> tuple[bool, Fields]:
    """Compare the polygons that lie within the small area and do not touch its inner edges."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - not in what is measured

    east, south = WEST + 10 * SMALL, NORTH - 10 * SMALL
    sets = []
    for each in (small, large):
        rows = pq.read_table(each["store"]).to_pylist()
        inside = (row for row in rows if row["bbox"]["xmax"] < east and row["bbox"]["ymin"] > south)
        sets.append({(row["geometry"], row["score_mean"], row["score_count"]) for row in inside})
    count = {"polygons": large["polygons"], "compared": len(sets[0])}
    return len(sets[0]) > 0 and sets[0] == sets[1], count


def _same_network(small: Fields, large: Fields) -> tuple[bool, Fields]:
    """Hold the areas of all polygons against the pixels they are made of."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - not in what is measured

    from landloom.raster.grid import tiles  # noqa: PLC0415
    from landloom.raster.store.zarr import CubeStore  # noqa: PLC0415

    agree, corners = True, 0
    for side, each in ((SMALL, small), (LARGE, large)):
        shapes = shapely.from_wkb(pq.read_table(each["store"])["geometry"].to_numpy())
        pixels = 0
        store = CubeStore.open(str(OUT / f"network-{side}.zarr"))
        for tile in tiles(store.shape_yx, store.shard):
            pixels += int((store.read(0, None, tile.window) >= 0.5).sum())
        agree &= int(shapely.area(shapes).sum()) == 100 * pixels  # square metres of a pixel
        corners = int(shapely.get_num_coordinates(shapes).max())
    return agree, {"polygons": large["polygons"], "corners": corners}


AGREE: dict[str, Callable[[Fields, Fields], tuple[bool, Fields]]] = {
    "mosaic": partial(_same_pixels, 0),
    "predict": partial(_same_pixels, PATCH),
    "vectorize": _same_fields,
    "network": _same_network,
}
"""Compares what was made of the small and the large area; returns further fields too."""


if __name__ == "__main__":
    main_or_variant(VARIANTS, main)
