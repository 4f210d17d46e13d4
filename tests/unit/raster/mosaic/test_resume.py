"""A mosaic that goes on: what an earlier start finished is kept, counted and told."""

from datetime import UTC, datetime

import numpy as np
import pytest
import shapely
import xarray as xr
from tests.engine.cubes import never
from tests.engine.imagery import dataset, make_scene, season, write_items

from landloom.errors import Cancelled, SceneReadFailed
from landloom.raster.aoi import AoiRow
from landloom.raster.catalog import MaskRule
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.mosaic import Sizes, build_mosaic, plan_mosaic
from landloom.raster.mosaic.build import SKIPPED, SKIPPED_NAMES, VALID_FRACTION
from landloom.raster.store.zarr import CubeStore

SCL = MaskRule(("SCL",), (0, 1, 3, 7, 8, 9, 10), ())
YEAR = (datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC))
TILES = 9


@pytest.fixture(scope="module")
def executor():
    pool = LocalExecutor(1)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Three scenes of 150 px; a band of one is torn."""
    folder = tmp_path_factory.mktemp("scenes")
    rng = np.random.default_rng(9)
    items = [make_scene(folder, f"s{number}", rng, 150) for number in range(3)]
    torn = folder / "s1" / "B03.tif"
    torn.write_bytes(torn.read_bytes()[:3000])
    made = dataset(write_items(folder / "items.json", items), mask=SCL, windows=season(1, 366))
    inner = shapely.geometry.shape(items[0]["geometry"])
    return made, AoiRow(inner.buffer(-1e-4), "")


@pytest.fixture
def build(executor, scenes, tmp_path):
    """Build into one store; returns the row, what was reported and what was warned of."""

    def run(name="m.zarr", cancelled=never, **options):
        reports, warnings = [], []
        made, row = scenes
        result = build_mosaic(
            lambda: plan_mosaic([made], row, *YEAR, 32633),
            str(tmp_path / name),
            executor,
            lambda _, message, *__: reports.append(message),
            lambda: cancelled(reports) if cancelled is not never else False,
            key="k",
            warn=lambda _, message: warnings.append(message),
            **{"sizes": Sizes(64, 64, 32), "on_error": "skip"} | options,
        )
        return result, [each for each in reports if "composite of" in each], warnings

    return run


def _after(tiles):
    return lambda reports: sum("composite of" in each for each in reports) >= tiles


def _without_reader_pauses(monkeypatch):
    from landloom.raster.mosaic import read as reading

    if hasattr(reading, "FIRST_PAUSE_SECONDS"):
        monkeypatch.setattr(reading, "FIRST_PAUSE_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    _without_reader_pauses(monkeypatch)


def test_skips_and_valid_pixels_survive_a_restart(build, tmp_path):
    whole, computed, warned = build("whole.zarr")
    assert len(computed) == TILES
    with pytest.raises(Cancelled):
        build(cancelled=_after(4))
    again, computed, warned_again = build()
    assert 4 <= TILES - len(computed) <= 5
    assert again.valid_fraction == whole.valid_fraction
    ours, theirs = (CubeStore.open(row.location).attributes for row in (again, whole))
    assert ours[SKIPPED] == theirs[SKIPPED] > 0
    assert sorted(ours[SKIPPED_NAMES]) == sorted(theirs[SKIPPED_NAMES])
    assert sorted(warned) == sorted(warned_again)
    first, second = (xr.open_zarr(row.location)["variables"].values for row in (again, whole))
    np.testing.assert_array_equal(first, second)


def test_a_finished_mosaic_is_told_again_as_it_was(build):
    first, _, warned = build()
    second, computed, warned_again = build()
    assert computed == []
    assert second == first
    assert set(warned_again) <= set(warned)
    assert any("s1" in each and "B03" in each for each in warned_again)
    assert CubeStore.open(first.location).attributes[VALID_FRACTION] == first.valid_fraction


def test_nothing_is_left_of_the_notes(build, tmp_path):
    build()
    assert not (tmp_path / "m.zarr" / "_landloom" / "tiles").exists()


def test_a_torn_scene_ends_it_by_name_unless_told_to_skip(build):
    with pytest.raises(SceneReadFailed, match=r"s1.*B03") as caught:
        build(on_error="raise")
    assert "finished tiles are kept" in caught.value.suggestion


def test_overviews_grow_with_it_and_go_on_with_it(build):
    with pytest.raises(Cancelled):
        build(cancelled=_after(4), overviews=True)
    ended, _, _ = build(overviews=True)
    whole, _, _ = build("whole.zarr", overviews=True)
    stores = [CubeStore.open(row.location).attributes for row in (ended, whole)]
    statistics = [store["landloom:statistics"] for store in stores]
    assert statistics[0] == statistics[1]
    assert statistics[0]["shards"] == TILES
    for group in ("2x", "4x"):
        first, second = (
            xr.open_zarr(row.location, group=group)["variables"].values for row in (ended, whole)
        )
        np.testing.assert_array_equal(first, second)
