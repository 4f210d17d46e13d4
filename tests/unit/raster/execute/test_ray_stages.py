"""Every stage on a cluster that loses a worker and a node on the way: what one machine gives."""

from datetime import UTC, datetime

import geopandas as gpd
import numpy as np
import pytest
import shapely
from geopandas.testing import assert_geodataframe_equal
from tests.engine.cubes import all_pixels, cube, never, unheard
from tests.engine.exported import Net, Tenth, exported
from tests.engine.finders import AreaFinder
from tests.engine.imagery import dataset, make_scene, season, write_items
from tests.engine.saboteur import Saboteur

from landloom.raster.aoi import AoiRow
from landloom.raster.catalog import MaskRule
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.geometries.mosaic import find_geometries
from landloom.raster.mosaic import Sizes, build_mosaic, plan_mosaic
from landloom.raster.prediction import ready_model
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize.config import VectorizeConfig
from landloom.raster.vectorize.mosaic import vectorize_mosaic
from landloom.wire.requests import GeometryInference, Inference

_YEAR = (datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC))
SCL = MaskRule(("SCL",), (0, 1, 3, 7, 8, 9, 10), ())


@pytest.fixture
def here():
    executor = LocalExecutor(2)
    yield executor
    executor.close()


@pytest.fixture
def failing(ray_executor, spare_node, tmp_path):
    """A cluster in which a worker dies in the second task, and a node in a later one."""
    of_worker = Saboteur(ray_executor, tmp_path / "worker", at=1)
    yield Saboteur(of_worker, tmp_path / "node", at=3, node=spare_node)
    assert of_worker.deaths == 1


def test_a_mosaic_is_bit_equal_and_no_tile_is_written_twice(here, failing, tmp_path):
    rng = np.random.default_rng(3)
    places = [{"x0": 359130.0 + 310 * n, "y0": 5352340.0 - 270 * n} for n in range(3)]
    items = [
        make_scene(tmp_path / "scenes", f"s{n}", rng, 160, **place)
        for n, place in enumerate(places)
    ]
    source = dataset(
        write_items(tmp_path / "scenes" / "items.json", items), mask=SCL, windows=season(1, 366)
    )
    row = AoiRow(
        shapely.union_all([shapely.geometry.shape(item["geometry"]) for item in items]), "a"
    )

    def build(executor, name):
        return build_mosaic(
            lambda: plan_mosaic([source], row, *_YEAR, 32633),
            str(tmp_path / name),
            executor,
            unheard,
            never,
            key="k",
            sizes=Sizes(64, 64, 32),
        )

    ours, theirs = build(here, "here.zarr"), build(failing, "there.zarr")
    assert ours.valid_fraction == theirs.valid_fraction
    assert _shards(tmp_path / "here.zarr") == _shards(tmp_path / "there.zarr")
    tiles = len(_shards(tmp_path / "here.zarr"))
    assert failing.completed() == dict.fromkeys(range(tiles), 1)


def test_a_prediction_is_bit_equal(here, failing, tmp_path, monkeypatch):
    monkeypatch.setenv("LANDLOOM_RUNTIME", "torch")
    pixels = np.random.default_rng(2).random((2, 150, 170)).astype(np.float32)
    source = cube(tmp_path / "m.zarr", pixels)
    archive = exported(tmp_path / "net.pt2", Net(), transforms=Tenth())
    inference = Inference(
        model_path=str(archive.path), patch_size=32, clip_size=4, features=["b0", "b1"],
        labels=["ground", "field", "edge"], max_batch_size=4,
    )  # fmt: skip
    model = ready_model(inference, None, None, tmp_path / "models")
    made = [
        model.predict(source, str(tmp_path / name), unheard, never, executor=executor)
        for name, executor in (("here.zarr", here), ("there.zarr", failing))
    ]
    ours, theirs = (all_pixels(CubeStore.open(row.location)) for row in made)
    np.testing.assert_array_equal(theirs, ours)
    assert len(failing.completed()) > 3
    assert not failing.repeated()


def test_polygons_are_identical(here, failing, tmp_path):
    scores = np.random.default_rng(4).random((1, 200, 230)).astype(np.float32)
    source = cube(tmp_path / "p.zarr", scores, bands=["field"])
    config = VectorizeConfig.parse({"stats": True, "connectivity": 8}, ["field"], 0.5)

    def vectorize(executor, name):
        uri, count = vectorize_mosaic(
            source,
            config,
            str(tmp_path / name),
            4326,
            executor=executor,
            report=unheard,
            warn=unheard,
            cancelled=never,
        )
        return count, gpd.read_parquet(uri)

    (ours, mine), (theirs, other) = vectorize(here, "a.parquet"), vectorize(failing, "b.parquet")
    assert ours == theirs > 100
    assert_geodataframe_equal(mine, other)


def test_geometries_are_identical(here, failing, tmp_path):
    areas = np.random.default_rng(5).random((3, 90, 110)) > 0.6
    source = cube(tmp_path / "g.zarr", 200 * areas.astype(np.float32), bands=["r", "g", "b"])
    asked = GeometryInference(
        model_path="areas.pt2", features=list(source.bands), text_prompt=["red"],
        confidence_threshold=0.0, patch_size=16, clip_size=4,
    )  # fmt: skip

    def find(executor, name):
        uri, count = find_geometries(
            [source], asked, AreaFinder, str(tmp_path / name), identity="areas",
            executor=executor, report=unheard, cancelled=never, piece_pixels=1000,
        )  # fmt: skip
        return count, gpd.read_parquet(uri)

    (ours, mine), (theirs, other) = find(here, "a.parquet"), find(failing, "b.parquet")
    assert ours == theirs > 100
    assert_geodataframe_equal(mine, other)
    assert len(failing.completed()) > 3
    assert not failing.repeated()


def _shards(store):
    """Return the bytes of each shard; an upload that a killed writer left has `#` in its name."""
    shards = (store / "variables" / "c").rglob("*/[0-9]")
    return {str(path.relative_to(store)): path.read_bytes() for path in shards if path.is_file()}
