"""Bring your own rasters: tile indexes, and the mosaics of what they list."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject
from tests.engine.cubes import all_pixels, never, unheard
from tests.engine.imagery import SAMPLES, write_tiff
from tests.engine.tables import write_tile_index
from tests.engine.tolerances import EDGES_AND_TIES, WARPED_NUMBERS

from landloom.errors import CatalogProblem, InvalidInput, SceneReadFailed
from landloom.raster.aoi import AoiRow
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.grid import footprint, lattice_origin
from landloom.raster.gti import UNDATED, plan_gti
from landloom.raster.mosaic.build import build_mosaic
from landloom.raster.mosaic.plan import MosaicPlan
from landloom.raster.stac.table import read_rows
from landloom.raster.store.zarr import CubeStore
from landloom.wire.enums import ResamplingMethod
from landloom.wire.requests import BuildGtiMosaics

WISCONSIN = SAMPLES / "imagery" / "naip" / "wisconsin-native" / "2020-09-02" / "image.tif"
CALIFORNIA = SAMPLES / "imagery" / "naip" / "california-native" / "2020-04-15" / "image.tif"
RGBN = ["r", "g", "b", "ir"]
HERE = AoiRow(shapely.box(13.1015, 48.3055, 13.1045, 48.3080), "")
"""Inside of what `square` writes."""


def square(path, value, **options):
    """Write 40 x 40 pixels of 10 m of one value, or the pixels that are given."""
    pixels = np.full((40, 40), value, np.uint8) if np.isscalar(value) else value
    return write_tiff(path, pixels, **options)


def ask(index, **changes):
    fields = {"gti": str(index), "aoi": "", "bands": ["v"], "location_field": "url"}
    return BuildGtiMosaics(**fields | changes)


def build(tmp_path, request, row=HERE, name="out"):
    made = build_mosaic(
        lambda: plan_gti(request, row), str(tmp_path / f"{name}.zarr"), LocalExecutor(2), unheard,
        never, key="", on_error=request.on_error,
    )  # fmt: skip
    return CubeStore.open(made.location)


@pytest.fixture
def stacked(tmp_path):
    """An index of three rasters of one place with the values 1, 2 and 3."""
    rasters = [square(tmp_path / f"{value}.tif", value) for value in (1, 2, 3)]
    return write_tile_index(
        tmp_path / "index.parquet", rasters,
        year=[2021, 2020, 2021], res=[0.3, 0.6, 0.6], order=[30.0, 20.0, 10.0],
        time=pd.to_datetime(["2021-05-01T10:00", "2020-05-01T00:00", "2021-05-01T10:00"], utc=True),
    )  # fmt: skip


class TestTimeSteps:
    def test_years_are_steps(self, tmp_path, stacked):
        store = build(tmp_path, ask(stacked, time_column="year"))
        assert [str(time)[:10] for time in store.times] == ["2020-01-01", "2021-01-01"]
        assert list(store.bands) == ["v"]
        assert [np.unique(all_pixels(store, step)).tolist() for step in (0, 1)] == [[2], [3]]

    def test_timestamps_are_steps(self, stacked):
        plan = plan_gti(ask(stacked, time_column="time"), HERE)
        assert [(step[0].start, len(step[0])) for step in plan.tables] == [
            (datetime(2020, 5, 1, tzinfo=UTC), 1), (datetime(2021, 5, 1, 10, tzinfo=UTC), 2),
        ]  # fmt: skip

    def test_without_a_column_there_is_one_step_at_the_epoch(self, stacked):
        ((table,),) = plan_gti(ask(stacked), HERE).tables
        assert table.start == UNDATED
        assert len(table) == 3

    def test_a_row_without_a_time_is_named_or_counted(self, tmp_path):
        rasters = [square(tmp_path / f"{value}.tif", value) for value in (1, 2)]
        years = pd.array([2021, None], "Int64")
        index = write_tile_index(tmp_path / "index.parquet", rasters, year=years)
        with pytest.raises(CatalogProblem, match=r"no time in 'year': .*2\.tif"):
            plan_gti(ask(index, time_column="year"), HERE)
        request = ask(index, time_column="year", on_error="skip")
        (step,) = plan_gti(request, HERE).tables
        assert len(step[0].skipped) == 1
        assert build(tmp_path, request).attributes["landloom:skipped_rasters"] == 1


class TestDrawOrder:
    @pytest.mark.parametrize(
        ("changes", "value"),
        [
            ({}, 3),
            ({"sort_field": "order"}, 1),
            ({"sort_field": "res"}, 3),
            ({"sort_field": "time"}, 3),
            ({"sort_field": "order", "query": "res == .6"}, 2),
            ({"query": "year == 2020 or order > 25"}, 2),
        ],
    )
    def test_later_is_on_top(self, tmp_path, stacked, changes, value):
        assert np.unique(all_pixels(build(tmp_path, ask(stacked, **changes)))) == [value]

    def test_a_hole_shows_what_is_below(self, tmp_path):
        rng = np.random.default_rng(0)
        top = rng.integers(0, 2, (40, 40)).astype(np.uint8) * 9
        rasters = [square(tmp_path / "below.tif", 5), square(tmp_path / "top.tif", top)]
        index = write_tile_index(tmp_path / "index.parquet", rasters)
        pixels = all_pixels(build(tmp_path, ask(index, nodata=0)))
        assert set(np.unique(pixels)) == {5, 9}

    @pytest.mark.parametrize("nodata", [0, None])
    @pytest.mark.parametrize("method", [ResamplingMethod.NEAREST, ResamplingMethod.AVERAGE])
    @pytest.mark.parametrize("resolution", [10.0, 13.0])
    def test_what_a_mask_hides_shows_what_is_below(self, tmp_path, nodata, method, resolution):
        top = square(tmp_path / "top.tif", 7, nodata=None)
        mask = np.full((40, 40), 255, np.uint8)
        mask[:20] = 0
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(top, "r+") as file:
            file.write_mask(mask)
        rasters = [square(tmp_path / "below.tif", 3, nodata=None), top]
        request = ask(
            write_tile_index(tmp_path / "index.parquet", rasters),
            nodata=nodata, resampling=method, resolution=resolution,
        )  # fmt: skip
        pixels = all_pixels(build(tmp_path, request, AoiRow(place_of(top, shrink=-1e-4), "")))[0]
        values, counts = np.unique(pixels[pixels > 0], return_counts=True)
        assert values.tolist() == [3, 7]
        assert abs(counts[0] - counts[1]) <= 0.1 * counts.sum()

    def test_values_without_an_order_are_refused(self, tmp_path):
        rasters = [square(tmp_path / f"{value}.tif", value) for value in (1, 2)]
        index = write_tile_index(tmp_path / "index.parquet", rasters, order=[{"a": 1}, {"a": 2}])
        with pytest.raises(InvalidInput, match="no order"):
            plan_gti(ask(index, sort_field="order"), HERE)


class TestGrid:
    @pytest.mark.parametrize(
        ("epsg", "metres", "pixel"),
        [(32633, 10.0, 10.0), (3857, 10.0, 10.0), (4326, 10.0, 8.983153e-05), (32632, 10.0, 10.0)],
    )
    def test_the_pixel_has_as_many_metres_as_the_rasters(self, stacked, epsg, metres, pixel):
        plan = plan_gti(ask(stacked, target_crs=epsg), HERE)
        assert plan.geobox.crs.epsg == epsg
        assert plan.geobox.affine.a == pytest.approx(pixel, rel=1e-6)
        assert plan.datasets[0].resolution == pytest.approx(metres)
        assert footprint(plan.geobox).buffer(1e-6).covers(HERE.geometry)

    def test_the_crs_and_pixel_of_the_first_raster_in_the_area(self):
        plan = plan_gti_of([WISCONSIN, CALIFORNIA], place_of(CALIFORNIA))
        assert plan.geobox.crs.epsg == 26911
        assert plan.geobox.affine.a == pytest.approx(0.5985985)
        assert plan_gti_of([WISCONSIN, CALIFORNIA], place_of(WISCONSIN)).geobox.crs.epsg == 26916

    def test_a_resolution_is_in_units_of_the_output(self, stacked):
        assert plan_gti(ask(stacked, resolution=2.5), HERE).geobox.affine.a == 2.5
        geobox = plan_gti(ask(stacked, resolution=1e-4, target_crs=4326), HERE).geobox
        assert geobox.affine.a == 1e-4
        lattice_origin(geobox)

    def test_a_crs_without_a_code(self, tmp_path):
        crs = CRS.from_proj4("+proj=laea +lat_0=48 +lon_0=13 +datum=WGS84 +units=m")
        raster = square(tmp_path / "laea.tif", 7, crs=crs.to_wkt(), x0=7500, y0=34000)
        index = write_tile_index(tmp_path / "index.parquet", [raster])
        (outline,) = [row.geometry for row in rows_of(index)]
        inside = AoiRow(shapely.box(*outline.buffer(-0.001).bounds), "")
        store = build(tmp_path, ask(index), inside)
        assert np.unique(all_pixels(store)) == [7]

    def test_an_area_without_rasters_is_an_empty_mosaic(self, tmp_path, stacked):
        for row in (
            AoiRow(shapely.box(14, 48, 14.001, 48.001), ""),
            AoiRow(shapely.Point(-70, -33), ""),
        ):
            store = build(tmp_path, ask(stacked, nodata=0), row, f"out{row.geometry.centroid.x}")
            assert store.attributes["landloom:valid_fraction"] == 0
        assert store.geobox.crs.epsg == 32719
        assert store.resolution == 10


class TestTypes:
    def test_bytes_stay_bytes_where_nodata_is_0(self, stacked):
        kinds = [plan_gti(ask(stacked, nodata=nodata), HERE).datasets[0].dtype
                 for nodata in (0, None, 255)]  # fmt: skip
        assert kinds == ["uint8", "float32", "float32"]

    @pytest.mark.parametrize(
        "method", [ResamplingMethod.BILINEAR, ResamplingMethod.CUBIC, ResamplingMethod.LANCZOS]
    )
    def test_a_0_among_bytes_is_no_hole(self, tmp_path, method):
        pixels = np.full((40, 40), 200, np.uint8)
        pixels[10:30, 10:30] = 1  # cubic and Lanczos go below 0 at its edges
        options = {"nodata": 0, "pixel": 13.0, "predictor": 1}
        rasters = [square(tmp_path / "a.tif", pixels, **options)]
        index = write_tile_index(tmp_path / "index.parquet", rasters)
        store = build(tmp_path, ask(index, nodata=0, resampling=method, resolution=10.0))
        found = all_pixels(store)[0]
        assert found.min() == 1
        assert store.attributes["landloom:valid_fraction"] == 1

    def test_one_raster_of_another_type_makes_floats(self, tmp_path):
        heights = np.linspace(100, 200, 1600, dtype=np.float32).reshape(40, 40)
        rasters = [
            square(tmp_path / "a.tif", 1),
            square(tmp_path / "b.tif", heights, nodata=-9999, predictor=3),
        ]
        index = write_tile_index(tmp_path / "index.parquet", rasters)
        assert plan_gti(ask(index, nodata=0), HERE).datasets[0].dtype == "float32"

    def test_heights_are_what_they_were(self, tmp_path):
        heights = np.linspace(-12.5, 200, 1600, dtype=np.float32).reshape(40, 40)
        heights[5:9, 5:9] = -9999
        raster = square(tmp_path / "dem.tif", heights, nodata=-9999, predictor=3)
        index = write_tile_index(tmp_path / "index.parquet", [raster])
        with rasterio.open(raster) as file:
            whole = AoiRow(place_of(raster, shrink=0), "")
            assert file.crs.to_epsg() == 32633
        store = build(tmp_path, ask(index, bands=["height"]), whole)
        found = all_pixels(store)[0]
        y, x = (int(side) for side in np.argwhere(~np.isnan(found)).min(axis=0))
        wanted = np.where(heights == -9999, np.nan, heights)
        np.testing.assert_array_equal(found[y : y + 40, x : x + 40], wanted)


class TestRealAerialImages:
    @pytest.mark.parametrize("method", [ResamplingMethod.NEAREST, ResamplingMethod.BILINEAR])
    def test_bands_by_position_equal_gdal(self, tmp_path, method):
        row = AoiRow(place_of(WISCONSIN, shrink=2e-5), "")
        index = write_tile_index(tmp_path / "index.parquet", [WISCONSIN], res=[0.6])
        request = ask(
            index, bands=RGBN, nodata=0, query="res == .6", resampling=method, resolution=0.6,
        )  # fmt: skip
        store = build(tmp_path, request, row)
        assert list(store.bands) == RGBN
        assert store.attributes["landloom:valid_fraction"] == 1
        found = all_pixels(store)
        for number in range(4):
            wanted = warped(WISCONSIN, number + 1, store, Resampling[method.value])
            step = np.abs(found[number] - wanted)
            if method is ResamplingMethod.NEAREST:
                assert (step > 0).mean() <= EDGES_AND_TIES
            else:
                assert step.max() <= WARPED_NUMBERS


class TestErrors:
    @pytest.mark.parametrize(
        ("changes", "match"),
        [
            ({"location_field": "href"}, r"no column 'href'.*url, year, res, order, time"),
            ({"time_column": "when"}, "no column 'when'"),
            ({"sort_field": "rank"}, "no column 'rank'"),
            ({"query": "gsd == 1"}, "no column 'gsd'"),
            ({"query": "open('x')"}, "may not use"),
            ({"query": "res > 'a'"}, "no order"),
            ({"query": "res > 9"}, "No row of the tile index"),
            ({"bands": ["r", "g"]}, r"1\.tif has 1 bands; 2 labels"),
            ({"target_crs": 99999}, "EPSG:99999"),
        ],
    )
    def test_are_told_before_a_pixel_is_read(self, stacked, changes, match):
        with pytest.raises(InvalidInput, match=match):
            plan_gti(ask(stacked, **changes), HERE)

    def test_a_raster_that_is_not_there(self, tmp_path, stacked):
        (tmp_path / "1.tif").unlink()
        with pytest.raises(SceneReadFailed, match=r"1\.tif of .*index\.parquet cannot be read"):
            plan_gti(ask(stacked), HERE)
        store = build(tmp_path, ask(stacked, sort_field="order", on_error="skip"))
        assert np.unique(all_pixels(store)) == [2]
        assert store.attributes["landloom:skipped_rasters"] == 1

    def test_where_readers_pay_the_plan_says_so(self, tmp_path, monkeypatch):
        index = write_tile_index(tmp_path / "index.parquet", [square(tmp_path / "a.tif", 1)])
        frame = pd.read_parquet(index)
        frame["url"] = "s3://naip-of-a-test/a.tif"
        frame.to_parquet(index)
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.delenv("LANDLOOM_AWS_ACCESS_KEY_ID", raising=False)
        monkeypatch.setattr("landloom.raster.store.buckets._bucket_region", lambda _: "us-west-2")
        with pytest.raises(SceneReadFailed, match="Readers of the bucket 'naip-of-a-test' pay"):
            plan_gti(ask(index, requester_pays=True), HERE)


def test_a_plan_goes_through_json(stacked):
    plan = plan_gti(ask(stacked, time_column="year", query="res < 1"), HERE)
    assert MosaicPlan.from_json(plan.to_json()) == plan


def plan_gti_of(rasters, place):
    """Return the plan of a mosaic of rasters that are listed in a file of the moment."""
    with TemporaryDirectory() as folder:
        index = write_tile_index(Path(folder) / "index.parquet", rasters)
        return plan_gti(ask(index, bands=RGBN), AoiRow(place, ""))


def place_of(raster, shrink=1e-4):
    """Return a raster's place in degrees, made smaller by so many."""
    with rasterio.open(raster) as file:
        bounds = rasterio.warp.transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    return shapely.box(*bounds).buffer(-shrink, join_style="mitre")


def rows_of(index):
    return read_rows(str(index), shapely.box(-180, -90, 180, 90))


def warped(raster, band, store, resampling):
    """Return a band on a store's grid as GDAL has it, exactly placed."""
    out = np.zeros(store.shape_yx, np.uint8)
    with rasterio.open(raster) as file:
        reproject(
            rasterio.band(file, band), out, dst_transform=store.geobox.affine,
            dst_crs=store.geobox.crs.to_wkt(), resampling=resampling, tolerance=0,
        )  # fmt: skip
    return out.astype(np.float32)
