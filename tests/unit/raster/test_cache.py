"""The cache: what is made of the same things is made once, and nothing else is taken for it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shapely.geometry import box, mapping
from tests.engine.imagery import item, write_items, write_tiff
from tests.engine.workflows import do, engine, fields, mosaic, pixels, polygons

from landloom.errors import Cancelled
from landloom.raster.methods import mosaics, predictions
from landloom.raster.provenance import read_provenance
from landloom.raster.settings import EngineSettings
from landloom.raster.store.zarr import CubeStore
from landloom.raster.workflow import run
from landloom.wire.results import WorkflowResult


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[EngineSettings, WorkflowResult, str]:
    """Settings, the fields of a small place, and the URI of their polygons."""
    settings = engine(tmp_path_factory.mktemp("cache"))
    result, _ = do(fields(), settings, "first")
    uri = do(polygons(result.mosaics[0].location), settings, "vectors")[0].uri
    assert uri is not None
    return settings, result, uri


def test_the_same_request_gets_the_same_output_and_says_so(made) -> None:
    settings, first, _ = made
    again, told = do(fields(), settings, "second")
    assert not first.cached
    assert again.cached
    assert again.model_copy(update={"cached": False}) == first
    assert any("from the cache" in event.message for event in told)
    # Nothing was read, run or written.
    assert {event.stage for event in told} == {"search", "publish"}
    assert not Path(settings.output_uri, "second").exists()


def test_a_hit_is_not_asked_how_much_work_it_would_be(
    made, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, _, _ = made

    def asked(*_: object) -> None:
        raise AssertionError("nothing is made, so there is no work")

    monkeypatch.setattr(mosaics, "mosaic_effort", asked)
    monkeypatch.setattr(predictions, "prediction_effort", asked)
    assert do(fields(), settings, "no work")[0].cached
    with pytest.raises(AssertionError, match="no work"):
        do(fields().model_copy(update={"cache": False}), settings, "all of it")


def test_polygons_of_a_cached_prediction_are_cached(made) -> None:
    settings, first, uri = made
    again, _ = do(polygons(first.mosaics[0].location), settings, "vectors again")
    assert (again.uri, again.cached) == (uri, True)
    other, _ = do(polygons(first.mosaics[0].location, threshold=0.6), settings, "others")
    assert not other.cached


def test_a_mosaic_is_shared_by_the_requests_that_want_it(made) -> None:
    settings, first, _ = made
    both = mosaic(datasets=["SAMPLE_PLANTING", "SAMPLE_HARVEST"])
    again, _ = do(both, settings, "mosaic alone")
    assert again.cached
    assert [row.location for row in again.mosaics] == [row.location for row in first.inputs]


@pytest.mark.parametrize(
    ("seed", "change"),
    [
        ("unwanted", {"cache": False}),
        ("place", {"aoi": mapping(box(13.11, 48.28, 13.12, 48.287))}),
        ("window", {"start": "2021-02-01"}),
        ("datasets", {"datasets": ["SAMPLE_HARVEST", "SAMPLE_PLANTING"]}),
        ("ways", {"on_error": "skip"}),
    ],
)
def test_anything_else_is_made_anew(made, seed: str, change: dict[str, Any]) -> None:
    settings, _, _ = made
    both = {"datasets": ["SAMPLE_PLANTING", "SAMPLE_HARVEST"]}
    assert not do(mosaic(**both | change), settings, seed)[0].cached


def test_another_bucket_gets_its_own_output(made, tmp_path: Path) -> None:
    settings, first, _ = made
    request = mosaic(datasets=["SAMPLE_PLANTING", "SAMPLE_HARVEST"], bucket=str(tmp_path))
    again, _ = do(request, settings, "elsewhere")
    assert not again.cached
    assert again.mosaics[0].location.startswith(str(tmp_path))
    np.testing.assert_array_equal(
        pixels(again.mosaics[0].location), pixels(first.inputs[0].location)
    )
    assert do(request, settings, "elsewhere-again")[0].cached


class TestHits:
    """A hit is held against what lies there now."""

    @pytest.fixture
    def there(self, tmp_path: Path) -> tuple[EngineSettings, Path]:
        settings = engine(tmp_path)
        result, _ = do(mosaic(), settings, "first")
        return settings, Path(result.mosaics[0].location)

    def test_an_output_that_was_deleted_is_built_anew(self, there) -> None:
        settings, store = there
        shutil.rmtree(store)
        again, _ = do(mosaic(), settings, "second")
        assert not again.cached
        assert Path(again.mosaics[0].location).exists()

    def test_an_output_that_lost_a_tile_is_built_anew(self, there) -> None:
        settings, store = there
        (store / "variables" / "c" / "0" / "0" / "0" / "0").unlink()
        again, _ = do(mosaic(), settings, "second")
        assert not again.cached

    def test_an_output_that_was_overwritten_is_built_anew(self, there) -> None:
        settings, store = there
        record = store / "_landloom" / "provenance.json"
        record.write_text(record.read_text().replace("64", "63"))
        assert not do(mosaic(), settings, "second")[0].cached

    def test_an_entry_that_cannot_be_read_is_no_hit(self, there) -> None:
        settings, _ = there
        assert settings.cache is not None
        for entry in Path(settings.cache).rglob("*.json"):
            entry.write_text("{")
        assert not do(mosaic(), settings, "second")[0].cached

    def test_after_it_was_built_anew_it_is_a_hit_again(self, there) -> None:
        settings, store = there
        shutil.rmtree(store)
        second, _ = do(mosaic(), settings, "second")
        third, _ = do(mosaic(), settings, "third")
        assert third.cached
        assert third.mosaics == second.mosaics


def test_a_workflow_that_ended_early_leaves_no_hit(tmp_path: Path) -> None:
    settings = engine(tmp_path)
    asked = iter([False] * 8)
    with pytest.raises(Cancelled):
        run(
            mosaic(),
            settings=settings.writing_to(f"{settings.output_uri}cut/"),
            seed="cut",
            show=lambda _: None,
            cancelled=lambda: next(asked, True),
        )
    assert not Path(f"{tmp_path}/out/cache").exists()
    assert not do(mosaic(), settings, "whole")[0].cached


def test_a_store_of_others_is_known_by_all_that_lies_there(made, tmp_path: Path) -> None:
    settings, first, _ = made
    foreign = tmp_path / "foreign.zarr"
    shutil.copytree(first.mosaics[0].location, foreign)
    shutil.rmtree(foreign / "_landloom")
    assert not do(polygons(str(foreign)), settings, "foreign")[0].cached
    assert do(polygons(str(foreign)), settings, "foreign again")[0].cached
    store = CubeStore.open(str(foreign))
    window = store.shard_window(0, 0)
    store.write_shard(0, 0, 0, [(window, np.zeros((3, *window.shape_yx), np.float32))])
    changed, _ = do(polygons(str(foreign)), settings, "foreign changed")
    assert not changed.cached


class TestOwnRasters:
    """Scenes on this disk: they may change under their names, and they may be broken."""

    CATALOG = """
[datasets.OWN]
source = { kind = "static", href = "items.json" }
resolution = 10.0
nodata = 0
bands = { B04 = ["B04"] }
"""

    @pytest.fixture
    def own(self, tmp_path: Path) -> tuple[EngineSettings, dict[str, Any], Path]:
        items = []
        noise = np.random.default_rng(1).integers(1, 9, (100, 100)).astype(np.uint16)
        for day, name in enumerate(("one", "two"), start=1):
            file = write_tiff(tmp_path / name / "B04.tif", noise)
            when = f"2023-06-{day:02d}T10:00:00Z"
            items.append(item(name, {"B04": f"{name}/B04.tif"}, file, when))
        write_items(tmp_path / "items.json", items)
        (tmp_path / "catalog.toml").write_text(self.CATALOG)
        settings = replace(engine(tmp_path), catalog=tmp_path / "catalog.toml")
        wanted = {
            "datasets": ["OWN"],
            "aoi": items[0]["geometry"],
            "start": "2023-01-01",
            "end": "2024-01-01",
        }
        return settings, wanted, tmp_path / "two" / "B04.tif"

    def test_one_that_was_overwritten_makes_another_mosaic(self, own) -> None:
        settings, wanted, file = own
        do(mosaic(**wanted), settings, "first")
        assert do(mosaic(**wanted), settings, "again")[0].cached
        write_tiff(file, np.full((100, 100), 5000, np.uint16))
        changed, _ = do(mosaic(**wanted), settings, "changed")
        assert not changed.cached
        assert np.nanmin(pixels(changed.mosaics[0].location)) > 2000

    def test_one_that_was_left_out_is_told_and_never_remembered(self, own) -> None:
        settings, wanted, file = own
        file.write_bytes(file.read_bytes()[:2000])
        request = mosaic(**wanted, on_error="skip")
        first, _ = do(request, settings, "first")
        assert first.skipped_rasters > 0
        record = read_provenance(first.mosaics[0].location)
        assert record is not None
        assert record.skipped_rasters == first.skipped_rasters
        assert any("two" in name for name in record.skipped)
        assert record.digest != record.origin.digest
        assert not do(request, settings, "second")[0].cached


def test_without_a_cache_folder_nothing_is_remembered(tmp_path: Path) -> None:
    settings = engine(tmp_path, cache=None)
    do(mosaic(), settings, "first")
    assert not do(mosaic(), settings, "second")[0].cached


def test_the_cache_lies_beside_the_outputs_of_all_workflows() -> None:
    found = EngineSettings.from_environment({"USER_S3_PATH": "s3://bucket/org/data/customer-1/"})
    of_one = found.writing_to("s3://bucket/org/data/customer-1/rasterflow/some-workflow/")
    assert of_one.cache == "s3://bucket/org/data/customer-1/rasterflow/cache/"
