"""Dry runs: what they say is what the workflow then does, and they do nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely.geometry import box, mapping
from tests.engine.imagery import dataset, item, write_items, write_tiff
from tests.engine.workflows import PLACE, do, engine, fields, mosaic, pixels, polygons

from landloom.errors import LandloomError
from landloom.raster.aoi import AoiRow
from landloom.raster.mosaic.plan import MosaicPlan, plan_mosaic
from landloom.raster.mosaic.read import RasterReader
from landloom.raster.plan.effort import mosaic_effort, patches_of
from landloom.raster.plan.rates import DEFAULTS, SUBSTANTIAL_SECONDS, Effort, Rates
from landloom.raster.plan.reading import bytes_to_read, window_in
from landloom.wire.enums import MergeModeEnum
from landloom.wire.plan import Plan
from landloom.wire.requests import (
    BuildZarrMultiscales,
    Inference,
    PredictMosaic,
    RunMosaicsChange,
    WorkflowRequest,
)

BIG = 10 * SUBSTANTIAL_SECONDS
UTM = "EPSG:32633"


TWO_PLACES = {
    "type": "FeatureCollection",
    "features": [
        {"type": "Feature", "properties": {}, "geometry": each}
        for each in (PLACE, mapping(box(13.15, 48.29, 13.155, 48.295)))
    ],
}


def planned(request: WorkflowRequest, folder: Path) -> Plan:
    plan = do(request, engine(folder), "dry")[0].plan
    assert plan is not None
    return plan


class TestDryRun:
    def test_it_writes_nothing_at_all(self, tmp_path: Path) -> None:
        planned(fields(dry_run=True), tmp_path)
        assert not list(tmp_path.iterdir())

    def test_each_row_of_the_aoi_is_a_line(self, tmp_path: Path) -> None:
        plan = planned(mosaic(aoi=TWO_PLACES, dry_run=True), tmp_path)
        assert len(plan.mosaics) == 2
        assert plan.bytes_to_read == sum(each.bytes_to_read for each in plan.mosaics) > 0
        assert plan.seconds == pytest.approx(sum(each.seconds or 0 for each in plan.mosaics))

    def test_it_says_what_the_figures_rest_on(self, tmp_path: Path) -> None:
        plan = planned(fields(dry_run=True), tmp_path)
        assert plan.patches > 0
        assert plan.model is not None
        assert plan.model.endswith("fields.pt2")
        said = " ".join(plan.notes)
        assert "headers of 10 of 10 rasters" in said
        assert "by our benchmarks" in said

    def test_what_lies_in_the_cache_is_said(self, tmp_path: Path) -> None:
        do(mosaic(), engine(tmp_path), "first")
        assert any("in the cache" in note for note in planned(mosaic(dry_run=True), tmp_path).notes)

    def test_the_grid_is_the_one_that_is_built(self, tmp_path: Path) -> None:
        (plan,) = planned(mosaic(dry_run=True), tmp_path).mosaics
        (made,) = do(mosaic(), engine(tmp_path), "made")[0].mosaics
        assert (plan.crs, plan.shape_yx) == (made.crs, made.shape_yx)
        values = pixels(made.location)
        store = Path(made.location) / "variables" / "c"
        assert plan.tiles == sum(path.is_file() for path in store.rglob("*"))
        assert values.shape[2:] == plan.shape_yx

    def test_derived_outputs_have_plans_too(self, tmp_path: Path) -> None:
        settings = engine(tmp_path)
        two_years = mosaic(start="2020-01-01")
        store = do(two_years, settings, "made")[0].mosaics[0].location
        band = "sample_planting:B04"
        for request in (
            polygons(store, features=[band], dry_run=True),
            BuildZarrMultiscales(source_store=store, dry_run=True),
            RunMosaicsChange(mosaics=[store], features=[band], dry_run=True),
        ):
            plan = planned(request, tmp_path)
            assert plan.bytes_to_read > 0
            assert plan.seconds
            assert plan.mosaics

    def test_a_plan_of_what_cannot_be_is_refused(self, tmp_path: Path) -> None:
        store = do(mosaic(), engine(tmp_path), "made")[0].mosaics[0].location
        band = "sample_planting:B04"
        inference = {"patch_size": 64, "clip_size": 8, "features": [band], "labels": ["a"]}
        nowhere = Inference(model_path=f"{tmp_path}/nowhere.pt2", **inference)
        other = nowhere.model_copy(update={"features": ["nope"]})
        for request, words in (
            (polygons(store, features=["nope"], dry_run=True), "no band 'nope'"),
            (polygons(store, features=[band], target_crs=99999, dry_run=True), "EPSG:99999"),
            (RunMosaicsChange(mosaics=[store], features=["nope"], dry_run=True), "'nope'"),
            (RunMosaicsChange(mosaics=[store], features=[band], dry_run=True), "time step"),
            (PredictMosaic(mosaics=[store], inference=other, dry_run=True), "'nope'"),
            (PredictMosaic(mosaics=[store], inference=nowhere, dry_run=True), "nowhere.pt2"),
        ):
            with pytest.raises(LandloomError, match=words):
                do(request, engine(tmp_path), "dry")

    def test_of_an_index_that_names_several_mosaics_one_is_taken_and_the_others_told(
        self, tmp_path: Path
    ) -> None:
        made, _ = do(mosaic(aoi=TWO_PLACES), engine(tmp_path), "made")
        assert made.index_uri is not None
        for request in (
            polygons(made.index_uri, features=["sample_planting:B04"], dry_run=True),
            BuildZarrMultiscales(source_store=made.index_uri, dry_run=True),
        ):
            result, told = do(request, engine(tmp_path), "dry")
            assert result.plan is not None
            assert len(result.plan.mosaics) == 1
            (warning,) = [event.message for event in told if event.level == "warning"]
            assert f"names 2 mosaics; the first is taken: {made.mosaics[0].location}" in warning


class TestBytes:
    """Against the blocks that a file really has."""

    @pytest.fixture
    def plan(self, tmp_path: Path) -> MosaicPlan:
        rng = np.random.default_rng(1)
        items = []
        for number in range(6):
            assets = {}
            for band in ("B02", "B03", "B04", "B08"):
                noise = rng.integers(1, 5000, (256, 256)).astype(np.uint16)
                path = write_tiff(tmp_path / str(number) / f"{band}.tif", noise)
                assets[band] = f"{number}/{band}.tif"
            items.append(item(str(number), assets, path, f"2023-06-{number + 1:02d}T10:00:00Z"))
        catalogue = write_items(tmp_path / "items.json", items)
        source = replace(dataset(catalogue), mask=None)
        place = box(359130 + 700, 5352340 - 1200, 359130 + 1200, 5352340 - 700)
        degrees = GeoBox.from_bbox(place.bounds, UTM, resolution=10).geographic_extent.geom
        window = {"start": "2023-01-01", "end": "2024-01-01"}
        return plan_mosaic([source], AoiRow(degrees, ""), *_dates(window), 32633)

    def test_only_the_blocks_within_the_grid_count(self, plan: MosaicPlan) -> None:
        reading = bytes_to_read(plan)
        expected = 0
        for scene in plan.tables[0][0].scenes:
            for asset in scene.bands:
                raster = RasterReader().open(asset.href)
                assert raster.layout is not None
                counts = raster.layout.counts.reshape(4, 4)
                expected += int(counts[1:2, 1:2].sum())
                whole = int(counts.sum())
        # The grid of 500 m and its two neighbour pixels lie within blocks 1 (of 640 m) alone, or
        # touch the next ones.
        assert expected <= reading.bytes < 24 * whole
        assert (reading.rasters, reading.headers, reading.unknown) == (24, 24, 0)

    def test_a_sample_is_scaled_and_says_so(self, plan: MosaicPlan) -> None:
        every, some = bytes_to_read(plan), bytes_to_read(plan, sample=8)
        assert (some.rasters, some.headers) == (24, 8)
        assert some.bytes == pytest.approx(every.bytes, rel=0.02)  # noise compresses alike
        assert "8 of 24 rasters, scaled" in some.note

    def test_a_raster_that_cannot_be_read_counts_as_the_others_do(self, plan: MosaicPlan) -> None:
        every = bytes_to_read(plan)
        Path(plan.tables[0][0].scenes[0].bands[0].href).write_bytes(b"no tiff")
        less = bytes_to_read(plan)
        assert less.unknown == 1
        assert less.bytes == pytest.approx(every.bytes, rel=0.02)
        assert "1 of them could not be read" in less.note

    def test_a_window_in_another_crs_holds_the_whole_grid(self) -> None:
        grid = GeoBox((100, 80), Affine(10, 0, 360000, 0, -10, 5352000), UTM)
        mercator = grid.to_crs("EPSG:3857", resolution=10)
        window = window_in(grid.affine, UTM, mercator)
        assert window.y0 <= 0
        assert window.y1 >= 100
        assert window.x0 <= 0
        assert window.x1 >= 80

    def test_a_grid_elsewhere_reads_nothing(self) -> None:
        grid = GeoBox((100, 80), Affine(10, 0, 360000, 0, -10, 5352000), UTM)
        far = GeoBox((10, 10), Affine(10, 0, 500000, 0, -10, 4000000), UTM)
        assert window_in(grid.affine, UTM, far).y0 > 100


class TestEffort:
    def test_a_mosaic_is_its_scenes_pixels_within_the_grid(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(1)
        path = write_tiff(tmp_path / "B02.tif", rng.integers(1, 9, (64, 64)).astype(np.uint16))
        assets = dict.fromkeys(("B02", "B03", "B04", "B08"), "B02.tif")
        catalogue = write_items(tmp_path / "items.json", [item("a", assets, path)])
        source = replace(dataset(catalogue), mask=None)
        inside = GeoBox.from_bbox((359230, 5351900, 359430, 5352100), UTM, resolution=10)
        row = AoiRow(inside.geographic_extent.geom, "")
        window = {"start": "2023-01-01", "end": "2024-01-01"}
        plan = plan_mosaic([source], row, *_dates(window), 32633)
        size = np.prod(plan.geobox.shape)
        assert mosaic_effort(plan).units == pytest.approx(4 * size, rel=0.01)
        assert mosaic_effort(plan).of == "SAMPLE in UTM"

    def test_patches_are_those_that_are_run(self) -> None:
        said = {"patch_size": 64, "clip_size": 8, "features": ["a"], "labels": ["b"]}
        inference = Inference(model_path="m.pt2", merge_mode=MergeModeEnum.CLIP, **said)
        grid = GeoBox((480, 480), Affine(10, 0, 0, 0, -10, 0), UTM)
        assert patches_of(grid, 1, inference) == 10**2  # cores of 48 px
        assert patches_of(grid, 3, inference) == 3 * 10**2


class TestRates:
    EFFORT = Effort("mosaic", "S2 in UTM", BIG * DEFAULTS["mosaic"])

    def test_at_first_our_benchmarks_speak(self, tmp_path: Path) -> None:
        found = Rates(tmp_path).estimate(self.EFFORT, 2)
        assert found.seconds == pytest.approx(BIG / 2)
        assert "none was measured here" in found.basis

    def test_then_what_was_measured(self, tmp_path: Path) -> None:
        rates = Rates(tmp_path / "models")
        rates.learn(self.EFFORT, 100, workers=2)
        found = rates.estimate(replace(self.EFFORT, units=self.EFFORT.units * 3), 2)
        assert found.seconds == pytest.approx(300)
        assert "as measured here for S2 in UTM" in found.basis

    def test_work_of_the_same_kind_is_the_next_best(self, tmp_path: Path) -> None:
        rates = Rates(tmp_path)
        rates.learn(self.EFFORT, 100, workers=1)
        found = rates.estimate(replace(self.EFFORT, of="NAIP in UTM"), 1)
        assert found.seconds == pytest.approx(100)
        assert "for other work" in found.basis

    def test_newer_workflows_count_more(self, tmp_path: Path) -> None:
        rates = Rates(tmp_path)
        for seconds in (100, 100, 400, 400, 400, 400):
            rates.learn(self.EFFORT, seconds, workers=1)
        assert 350 < rates.estimate(self.EFFORT, 1).seconds < 400

    def test_small_work_teaches_nothing(self, tmp_path: Path) -> None:
        rates = Rates(tmp_path)
        rates.learn(replace(self.EFFORT, units=1000), 30, workers=1)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"mosaic/S2 in UTM": {"units": 0}}'])
    def test_a_broken_file_is_no_obstacle(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "rates.json").write_text(text)
        rates = Rates(tmp_path)
        assert "none was measured" in rates.estimate(self.EFFORT, 1).basis
        rates.learn(self.EFFORT, 100, workers=1)
        assert rates.estimate(self.EFFORT, 1).seconds == pytest.approx(100)

    def test_a_folder_that_cannot_be_written_is_no_obstacle(self, tmp_path: Path) -> None:
        (tmp_path / "models").write_text("a file")
        Rates(tmp_path / "models").learn(self.EFFORT, 100, workers=1)


def _dates(window: dict[str, Any]) -> tuple[Any, Any]:
    request = mosaic(**window)
    return request.start, request.end
