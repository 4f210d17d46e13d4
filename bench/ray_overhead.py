"""The mosaic by Ray against the mosaic by threads, on the same two cores; scheduling; a great plan.

    python bench/ray_overhead.py [CASE ...]        cases: mosaic scheduling plan

The peer of `ray_overhead` is the local executor: 8k x 8k pixels, the cluster up and the workers of
either warmed by 2k x 2k before the clock starts; `init_s` is what starting Ray took, apart. Shards
of both are compared byte by byte. `scheduling` is the time a task that does nothing takes; `plan`
reads a stored table of scenes and makes the tasks of 100,000 tiles.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine

from harness import BUILD, Run, add_cases, cpu, main_or_variant, measure, memory, report, wall
from scenes import area, bench_scenes

SIDE, WARM_SIDE, DATES = 8192, 2048, 4
WORKERS = 2
ROUNDS = 3
TASKS = 2000
OUT = BUILD / "ray"

MOST_OVERHEAD = 1.25
MOST_SECONDS_A_TASK = 0.002
TILES_YX = (316, 317)
MOST_PLAN_SECONDS, MOST_PLAN_BYTES = 10.0, 10**9
DATES_A_PLACE = 8
PLACE_M, PITCH_M = 110_000, 100_000
"""A Sentinel-2 tile's side, and from one to the next."""


def prepare_mosaic(executor: str) -> Run:
    """Build a mosaic by an executor that has built a small one."""
    from landloom.raster.execute.selection import executor_of  # noqa: PLC0415 - not timed
    from landloom.raster.settings import EngineSettings  # noqa: PLC0415

    scenes = bench_scenes(side=SIDE, dates=DATES)
    settings = EngineSettings.from_environment(
        {"LANDLOOM_EXECUTOR": executor, "LANDLOOM_WORKERS": str(WORKERS)}
    )
    chosen = executor_of(settings)
    started = time.perf_counter()
    assert chosen.workers == WORKERS  # joins, or starts, the cluster
    init = time.perf_counter() - started
    # In quarters, so that it is work for every worker.
    _build(scenes, chosen, WARM_SIDE, OUT / f"{executor}-warm.zarr", WARM_SIDE // 4)

    def build() -> dict[str, Any]:
        store = _build(scenes, chosen, SIDE, OUT / f"{executor}.zarr")
        return {"init_s": init, "store": store}

    return build


def prepare_scheduling(executor: str) -> Run:
    """Run tasks that do nothing."""
    from landloom.raster.execute.selection import executor_of  # noqa: PLC0415
    from landloom.raster.settings import EngineSettings  # noqa: PLC0415

    env = {"LANDLOOM_EXECUTOR": executor, "LANDLOOM_WORKERS": str(WORKERS)}
    chosen = executor_of(EngineSettings.from_environment(env))
    run: Callable[[], int] = lambda: sum(1 for _ in chosen.map(_nothing, range(TASKS), bool))  # noqa: E731
    assert run() == TASKS
    return lambda: {"tasks": run()}


def prepare_plan() -> Run:
    """Read a stored plan and make all its tasks."""
    from landloom.raster.mosaic.plan import MosaicPlan  # noqa: PLC0415
    from landloom.raster.mosaic.tasks import MosaicTasks  # noqa: PLC0415
    from landloom.raster.store.zarr import CubeStore  # noqa: PLC0415

    path = _stored_plan()
    times = (np.datetime64("2023-01-01"),)

    def plan() -> dict[str, Any]:
        found = MosaicPlan.from_json(json.loads(path.read_bytes()))
        store = CubeStore("nowhere.zarr", found.geobox, tuple(found.labels), times, 2048, 512, {})
        tasks = scenes = 0
        for task in MosaicTasks(store, found, 1024, "raise").without(set()):
            tasks += 1
            scenes += sum(len(layer.scenes) for layer in task.layers)
        return {"tiles": tasks, "scenes": len(found.tables[0][0]), "scenes_a_tile": scenes / tasks}

    return plan


def _nothing(_task: int, _cancelled: Callable[[], bool]) -> None:
    pass


def _build(scenes: Path, executor: Any, side: int, out: Path, shard: int = 2048) -> str:
    from landloom.raster.aoi import read_aoi  # noqa: PLC0415
    from landloom.raster.catalog import load_catalog  # noqa: PLC0415
    from landloom.raster.mosaic.build import Sizes, build_mosaic  # noqa: PLC0415
    from landloom.raster.mosaic.plan import plan_mosaic  # noqa: PLC0415

    shutil.rmtree(out, ignore_errors=True)
    dataset = load_catalog(scenes / "catalog.toml").dataset("BENCH")
    (row,) = read_aoi(area(side))
    window = datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
    made = build_mosaic(
        lambda: plan_mosaic([dataset], row, *window, 32633), str(out), executor,
        lambda *_: None, bool, key="bench", sizes=Sizes(shard),
    )  # fmt: skip
    return made.location


def _stored_plan() -> Path:
    """Return a plan of a continent, stored as a workflow stores it; made once."""
    from odc.geo.geobox import GeoBox  # noqa: PLC0415
    from pyproj import Transformer  # noqa: PLC0415

    from landloom.raster.catalog import load_catalog  # noqa: PLC0415
    from landloom.raster.mosaic.plan import MosaicPlan  # noqa: PLC0415
    from landloom.raster.scenes import SceneTable  # noqa: PLC0415
    from landloom.raster.stac.scene import Asset, Scene  # noqa: PLC0415

    path = OUT / "plan.json"
    if path.exists():
        return path
    height, width = (tiles * 2048 for tiles in TILES_YX)
    west, north = -3_000_000, 9_000_000
    to_degrees = Transformer.from_crs(3857, 4326, always_xy=True)
    scenes = []
    for y in range(north, north - 10 * height, -PITCH_M):
        for x in range(west, west + 10 * width, PITCH_M):
            xs, ys = [x, x + PLACE_M, x + PLACE_M, x], [y, y, y - PLACE_M, y - PLACE_M]
            outline = shapely.Polygon(np.column_stack(to_degrees.transform(xs, ys)))
            for day in range(DATES_A_PLACE):
                name = f"S2A_{x // PITCH_M:+04d}{y // PITCH_M:+04d}_202305{day + 1:02d}_0_L2A"
                folder = f"https://example.com/sentinel-s2-l2a-cogs/2023/5/{name}"
                assets = [
                    Asset(key, f"{folder}/{key}.tif", 0.0, -1000.0)
                    for key in ("B04", "B03", "B02", "B08", "SCL")
                ]
                scenes.append(
                    Scene(
                        name,
                        datetime(2023, 5, day + 1, 10, tzinfo=UTC),
                        name[4:12],
                        50.0,
                        12.5,
                        tuple(outline.bounds),
                        outline.wkt,
                        tuple(assets[:4]),
                        assets[4],
                    )
                )
    dataset = load_catalog(None).dataset("S2_MED_PLANTING")
    start, end = datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
    table = SceneTable(dataset.name, start, end, tuple(scenes), len(scenes))
    geobox = GeoBox((height, width), Affine(10, 0, west, 0, -10, north), "EPSG:3857")
    plan = MosaicPlan(geobox, (dataset,), ((table,),))
    OUT.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"key": "bench", **plan.to_json()}), encoding="utf-8")
    return path


VARIANTS = {
    "mosaic": prepare_mosaic,
    "scheduling": prepare_scheduling,
    "plan": prepare_plan,
}


def run_mosaic(rounds: int) -> None:
    bench_scenes(side=SIDE, dates=DATES)
    labels = {"ray": ["ray"], "local": ["local"]}
    found = measure(__file__, labels, rounds=rounds, names=dict.fromkeys(labels, "mosaic"))
    report(
        "ray_overhead",
        ours=wall(found["ray"]),
        limit=wall(found["local"]),
        peers={"local": wall(found["local"])},
        agree=_equal(OUT / "ray.zarr", OUT / "local.zarr"),
        rounds=rounds,
        allowed=MOST_OVERHEAD,
        init_s=sorted(sample.fields["init_s"] for sample in found["ray"]),
        local_cpu_s=cpu(found["local"]),
    )


def run_scheduling(rounds: int) -> None:
    labels = {"local": ["local"], "ray": ["ray"]}
    found = measure(__file__, labels, rounds=rounds, names=dict.fromkeys(labels, "scheduling"))
    each = {label: wall(samples) / TASKS for label, samples in found.items()}
    report(
        "scheduling",
        ours=each["local"],
        limit=MOST_SECONDS_A_TASK,
        peers={"ray": each["ray"]},
        agree=all(one.fields["tasks"] == TASKS for samples in found.values() for one in samples),
        rounds=rounds,
    )


def run_plan(rounds: int) -> None:
    _stored_plan()
    found = measure(__file__, {"plan": []}, rounds=rounds)["plan"]
    report(
        "plan_100k_tiles",
        ours=wall(found),
        limit=MOST_PLAN_SECONDS,
        peers={},
        agree=memory(found) < MOST_PLAN_BYTES,
        rounds=rounds,
        cpu_s=cpu(found),
        peak_bytes=memory(found),
        **found[0].fields,
    )


def _equal(ours: Path, theirs: Path) -> bool:
    """Tell whether two stores have the same shards, byte by byte."""
    shards = [
        {path.relative_to(store): path for path in (store / "variables" / "c").rglob("*")}
        for store in (ours, theirs)
    ]
    return shards[0].keys() == shards[1].keys() and all(
        path.is_dir() or filecmp.cmp(path, shards[1][name], shallow=False)
        for name, path in shards[0].items()
    )


CASES = {"mosaic": run_mosaic, "scheduling": run_scheduling, "plan": run_plan}


def main() -> None:
    parser = argparse.ArgumentParser()
    add_cases(parser, CASES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    for case in given.cases or CASES:
        CASES[case](given.rounds)


if __name__ == "__main__":
    main_or_variant(VARIANTS, main)
