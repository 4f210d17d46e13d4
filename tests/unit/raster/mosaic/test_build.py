"""Whole mosaics: the same pixels however they are cut, equal to odc-stac's, restartable, honest."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import odc.stac
import pystac
import pytest
import shapely
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.imagery import (
    BANDS,
    CATALOG,
    INN_VALLEY,
    SAMPLES,
    dataset,
    make_scene,
    season,
    write_items,
)

from landloom.errors import Cancelled, SceneReadFailed, StoreProblem
from landloom.raster.aoi import AoiRow, read_aoi
from landloom.raster.catalog import MaskRule
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.mosaic import Sizes, build_mosaic, plan_mosaic
from landloom.raster.mosaic import read as reading
from landloom.raster.scenes import SceneTable
from landloom.raster.store.zarr import CubeStore

INN = read_aoi(str(SAMPLES / "aoi" / "inn_valley.geojson"))[0]
YEAR_2021 = (datetime(2021, 1, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC))
YEAR_2023 = (datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC))
SCL = MaskRule(("SCL",), (0, 1, 3, 7, 8, 9, 10), ())
SMALL = Sizes(shard=128, subtile=96, chunk=64)
ONE_TILE = Sizes(shard=1024, subtile=1024, chunk=512)


@pytest.fixture(scope="module")
def executor():
    # One thread: on tiles this small several would mostly wait for one another's Python.
    pool = LocalExecutor(1)
    yield pool
    pool.close()


@pytest.fixture
def build(executor, tmp_path):
    """Build a mosaic into a folder of its own; returns (pixels, row, events)."""
    made = []

    def run(datasets, row=INN, window=YEAR_2021, crs=None, uri=None, **options):
        events = []
        made.append(None)
        result = build_mosaic(
            lambda: plan_mosaic(datasets, row, *window, crs),
            uri or str(tmp_path / f"{len(made)}.zarr"),
            executor,
            lambda *event: events.append(event),
            options.pop("cancelled", lambda: False),
            key=repr(([each.name for each in datasets], window, crs)),
            **{"sizes": ONE_TILE} | options,
        )
        cube = xr.open_zarr(result.location)["variables"]
        return cube.values, result, events

    return run


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Five overlapping random scenes with holes and clouds, one shifted off the lattice."""
    folder = tmp_path_factory.mktemp("noisy")
    rng = np.random.default_rng(7)
    places = [(0, 0), (300, -200), (-250, 120), (0, 0), (5, 3)]
    items = []
    for number, (dx, dy) in enumerate(places):
        place = {"x0": 359130.0 + dx, "y0": 5352340.0 + dy}
        made = make_scene(folder, f"s{number}", rng, 130 + 7 * number, **place)
        made["properties"]["datetime"] = f"2023-06-{number + 1:02d}T10:00:00Z"
        items.append(made)
    return dataset(write_items(folder / "items.json", items), mask=SCL, windows=season(150, 180))


def seasons():
    early = dataset(CATALOG, name="EARLY", prefix="early", windows=season(150, 180))
    return [early, replace(early, name="LATE", prefix="late", windows=season(250, 280))]


def inside(geometry, fractions):
    west, south, east, north = geometry.bounds
    x0, x1 = sorted(west + (east - west) * part for part in fractions[:2])
    y0, y1 = sorted(south + (north - south) * part for part in fractions[2:])
    return AoiRow(shapely.box(x0, y0, x1, y1), "")


class TestCutting:
    @settings(
        max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        fractions=st.lists(st.floats(-0.1, 1.1), min_size=4, max_size=4),
        crs=st.sampled_from([None, 3857, 4326, 32632]),
        cuts=st.tuples(st.sampled_from([64, 96, 128]), st.integers(20, 128)),
    )
    def test_pixels_depend_on_place_alone(self, build, noisy, fractions, crs, cuts):
        row = inside(INN.geometry, [part * 0.4 for part in fractions])
        whole, one, _ = build([noisy], row, YEAR_2023, crs, sizes=ONE_TILE)
        parts, other, _ = build([noisy], row, YEAR_2023, crs, sizes=Sizes(cuts[0], cuts[1], 32))
        np.testing.assert_array_equal(whole, parts)
        assert one.valid_fraction == other.valid_fraction

    @pytest.mark.parametrize("crs", [None, 3857])
    def test_real_scenes_in_tiles_equal_one_tile(self, build, crs):
        whole, _, _ = build(seasons(), crs=crs, sizes=ONE_TILE)
        parts, row, _ = build(seasons(), crs=crs, sizes=SMALL)
        np.testing.assert_array_equal(whole, parts)
        assert row.valid_fraction > 0.9

    def test_workers_change_nothing(self, noisy, tmp_path):
        row = inside(INN.geometry, [0, 0.4, 0.6, 1])
        cubes = []
        for workers in (1, 3):
            pool = LocalExecutor(workers)
            made = build_mosaic(
                lambda: plan_mosaic([noisy], row, *YEAR_2023, 3857),
                str(tmp_path / f"{workers}.zarr"),
                pool,
                lambda *_: None,
                lambda: False,
                key="noisy",
                sizes=SMALL,
            )
            pool.close()
            cubes.append(xr.open_zarr(made.location)["variables"].values)
        np.testing.assert_array_equal(*cubes)

    def test_overlapping_areas_agree(self, build, noisy):
        first = inside(INN.geometry, [0, 0.3, 0.7, 1])
        second = inside(INN.geometry, [0.1, 0.4, 0.6, 0.9])
        cubes = [
            xr.open_zarr(build([noisy], row, YEAR_2023, 3857)[1].location)["variables"]
            for row in (first, second)
        ]
        one, other = xr.align(*cubes, join="inner", exclude=("time", "band"))
        assert one.size > 10000
        np.testing.assert_array_equal(one.values, other.values)


class TestParity:
    def test_the_samples_equal_odc_stac(self, build):
        pixels, row, _ = build([dataset(CATALOG, windows=season(150, 280))])
        store = CubeStore.open(row.location)
        items = [pystac.Item.from_file(path) for path in sorted(INN_VALLEY.glob("*/*.json"))]
        expected = _by_odc(items, store.geobox, "CSMASK", lambda mask: mask == 0)
        np.testing.assert_array_equal(pixels[0, :4], expected)

    def test_clouds_and_holes_equal_odc_stac(self, build, tmp_path):
        rng = np.random.default_rng(1)
        items = [make_scene(tmp_path, f"s{number}", rng) for number in range(5)]
        source = dataset(write_items(tmp_path / "items.json", items), mask=SCL)
        pixels, row, _ = build([source], window=YEAR_2023)
        store = CubeStore.open(row.location)
        for item in items:
            for asset in item["assets"].values():
                asset["href"] = str(tmp_path / asset["href"])
            item["properties"]["proj:epsg"] = 32633
        stac = [pystac.Item.from_dict(item) for item in items]
        keep = [value for value, dropped in enumerate(SCL.dropped()) if not dropped]
        expected = _by_odc(stac, store.geobox, "SCL", lambda mask: np.isin(mask, keep))
        np.testing.assert_array_equal(pixels[0, :4], expected)
        assert set(np.unique(pixels[0, 4])) <= set(range(6))


def _by_odc(items, geobox, mask, stays):
    loaded = odc.stac.load(
        items, bands=[*BANDS, mask], geobox=geobox, groupby="id", chunks=None, nodata=0,
        resampling="nearest",
    )  # fmt: skip
    kept = stays(loaded[mask].values)
    # Outside its footprint a scene's mask reads 0, which is a class in CSMASK but no data here.
    stack = [np.where(kept & (loaded[b].values != 0), loaded[b].values, np.nan) for b in BANDS]
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="All-NaN"):
        return np.nanmedian(np.stack(stack).astype(np.float32), axis=1)


class TestContents:
    def test_datasets_stand_side_by_side_with_their_counts(self, build):
        pixels, row, events = build(seasons(), sizes=SMALL)
        assert row.bands[:2] == ["early:B02", "early:B03"]
        assert row.bands[4:6] == ["early:N_VALID_PIXELS", "late:B02"]
        assert np.isfinite(pixels[0, 4]).all()
        np.testing.assert_array_equal(pixels[0, 4] == 1, np.isfinite(pixels[0, :4]).all(axis=0))
        assert row.crs == "EPSG:32633"
        stages = [stage for stage, *_ in events]
        assert stages == sorted(stages, key=["search", "mosaic"].index)
        assert events[-1][2] == events[-1][3] == 15

    def test_each_year_is_a_time_step(self, build):
        window = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC))
        pixels, row, _ = build(seasons()[:1], window=window)
        times = xr.open_zarr(row.location)["time"].dt.year.values.tolist()
        assert times == [2020, 2021]
        assert np.isnan(pixels[0, :4]).all()
        assert np.isfinite(pixels[1, :4]).mean() > 0.9

    def test_no_imagery_is_an_empty_mosaic_and_a_warning(self, build):
        warnings = []
        pixels, row, _ = build(
            seasons(), window=YEAR_2023, warn=lambda stage, text: warnings.append((stage, text))
        )
        assert np.isnan(pixels[:, :4]).all()
        assert (pixels[:, 4] == 0).all()
        assert row.valid_fraction == 0
        assert [stage for stage, text in warnings if "No scenes of" in text] == ["search"] * 2

    def test_an_area_smaller_than_a_pixel_works(self, build):
        pixels, row, _ = build(seasons(), AoiRow(shapely.Point(13.14, 48.29), ""))
        assert row.shape_yx == (1, 1)
        assert np.isfinite(pixels).all()

    def test_numbers_are_shifted_and_clipped(self, build, tmp_path):
        rng = np.random.default_rng(2)
        item = make_scene(tmp_path, "s0", rng)
        plain = dataset(write_items(tmp_path / "a.json", [item]), mask=None)
        item["properties"]["s2:processing_baseline"] = "05.09"
        items = write_items(tmp_path / "b.json", [item])
        shifted = dataset(items, mask=None, radiometry="sentinel2_l2a")
        for crs in (None, 3857):
            raw, _, _ = build([plain], window=YEAR_2023, crs=crs)
            normal, _, _ = build([shifted], window=YEAR_2023, crs=crs)
            np.testing.assert_array_equal(normal[:, :4], np.maximum(raw[:, :4] - 1000, 0))
            assert (normal[:, :4] == 0).any()


class TestRestart:
    def test_finished_shards_are_kept_and_the_scenes_stay_frozen(self, build, noisy, tmp_path):
        uri = str(tmp_path / "again.zarr")
        calls = iter(range(10**6))

        with pytest.raises(Cancelled):
            build(
                [noisy], window=YEAR_2023, uri=uri, sizes=SMALL, cancelled=lambda: next(calls) > 40
            )
        kept = {
            path: path.stat().st_mtime_ns
            for path in tmp_path.glob("again.zarr/variables/c/*/*/*/*")
        }
        assert 0 < len(kept) < 15
        write_items(tmp_path / "empty.json", [])
        moved = replace(noisy, source=replace(noisy.source, href=str(tmp_path / "empty.json")))
        resumed, row, events = build([moved], window=YEAR_2023, uri=uri, sizes=SMALL)
        assert all(path.stat().st_mtime_ns == then for path, then in kept.items())
        assert ("mosaic", len(kept), 15) in [
            (event[0], *event[2:]) for event in events if event[2:]
        ]
        straight, other, _ = build([noisy], window=YEAR_2023)
        np.testing.assert_array_equal(resumed, straight)
        assert row.valid_fraction == other.valid_fraction

    def test_another_request_for_the_same_store_is_refused(self, build, noisy, tmp_path):
        uri = str(tmp_path / "a.zarr")
        build([noisy], window=YEAR_2023, uri=uri)
        with pytest.raises(StoreProblem, match="another mosaic"):
            build([noisy], window=YEAR_2021, uri=uri)


class TestFailures:
    @pytest.fixture
    def torn(self, tmp_path, monkeypatch):
        """Two scenes, one of which has a truncated red band."""
        monkeypatch.setattr(reading, "FIRST_PAUSE_SECONDS", 0.01)
        rng = np.random.default_rng(5)
        items = [make_scene(tmp_path, f"s{number}", rng) for number in range(2)]
        path = tmp_path / "s1" / "B04.tif"
        path.write_bytes(path.read_bytes()[:-6000])
        return dataset(write_items(tmp_path / "items.json", items), mask=SCL)

    def test_a_torn_file_ends_the_workflow_naming_it(self, build, torn):
        with pytest.raises(SceneReadFailed, match=r"Scene s1: asset B04 at .*s1/B04\.tif"):
            build([torn], window=YEAR_2023)

    def test_skipping_is_counted_and_told(self, build, torn):
        warnings = []
        _, row, _ = build(
            [torn], window=YEAR_2023, on_error="skip", sizes=Sizes(32, 32, 32),
            warn=lambda _, text: warnings.append(text),
        )  # fmt: skip
        # Once, however many tiles want it.
        (named, counted) = warnings
        assert "Scene s1: asset B04" in named
        assert counted == "1 rasters could not be read and were left out"
        assert CubeStore.open(row.location).attributes["landloom:skipped_rasters"] == 1

    def test_a_skipped_raster_does_not_count_as_valid(self, build, torn):
        pixels, _, _ = build([torn], window=YEAR_2023, on_error="skip", warn=lambda *_: None)
        alone, _, _ = build([replace(torn, bands=torn.bands[:1])], window=YEAR_2023)
        assert np.nanmax(alone[0, 1]) == 2
        assert np.nanmax(pixels[0, 4]) == 1


def test_a_plan_tells_grid_and_scenes_and_is_replayable():
    plan = plan_mosaic(seasons(), INN, *YEAR_2021, 3857)
    assert plan.scenes == {"EARLY": 1, "LATE": 1}
    assert plan.geobox.crs.epsg == 3857
    (step,) = plan.tables
    assert [SceneTable.from_json(table.to_json()) for table in step] == list(step)
