"""Stores by others: whatever names, order and format they have, they read as ours do."""

import warnings

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from pyproj import CRS
from tests.engine.cubes import cube, never, unheard

from landloom.errors import StoreProblem
from landloom.raster.change import change_mosaics
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.grid import Window
from landloom.raster.multiscales import build_multiscales
from landloom.raster.store.zarr import CubeStore

HEIGHT, WIDTH = 23, 31
WINDOW = Window(-2, 3, 9, 40)
TIMES = np.array(["2023-01-01", "2024-06-01"], "M8[ns]")
UTM = {"proj:code": "EPSG:32633"}
Y = 5_320_030 - 10 * (np.arange(HEIGHT) + 0.5)
X = 400_070 + 10 * (np.arange(WIDTH) + 0.5)
TRANSFORM = Affine(10, 0, 400_070, 0, -10, 5_320_030)


@pytest.fixture(scope="module")
def values():
    pixels = np.random.default_rng(4).random((2, 3, HEIGHT, WIDTH), dtype=np.float32)
    pixels[0, 0, :5, 4:9] = np.nan
    return pixels


@pytest.fixture
def dataset(values):
    """A cube as we have it."""
    return xr.Dataset(
        {"variables": (("time", "band", "y", "x"), values)},
        {"time": TIMES, "band": ["a", "b", "c"], "y": Y, "x": X},
        UTM,
    )


def written(dataset, path, zarr_format=3, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.to_zarr(path, zarr_format=zarr_format, **more)
    return CubeStore.open(str(path))


def check(store, values, bands=(2, 0), time=1):
    """Hold a window against the pixels."""
    found = store.read(time, [store.bands[band] for band in bands], WINDOW)
    padded = np.pad(values[time], ((0, 0), (10, 50), (10, 50)), constant_values=np.nan)
    rows, columns = WINDOW.shifted(10, 10).slices()
    np.testing.assert_array_equal(found, padded[list(bands), rows, columns])
    assert not store.native
    assert store.shape_yx == (HEIGHT, WIDTH)


@pytest.mark.parametrize("zarr_format", [2, 3])
class TestForms:
    def test_our_form(self, tmp_path, dataset, values, zarr_format):
        store = written(dataset, tmp_path / "a.zarr", zarr_format)
        check(store, values)
        assert store.bands == ("a", "b", "c")
        assert [str(each) for each in store.times] == ["2023-01-01T00:00:00", "2024-06-01T00:00:00"]
        assert store.geobox.affine.almost_equals(TRANSFORM)
        assert store.geobox.crs.epsg == 32633

    def test_without_consolidated_metadata(self, tmp_path, dataset, values, zarr_format):
        check(written(dataset, tmp_path / "a.zarr", zarr_format, consolidated=False), values)

    def test_another_order_and_other_names(self, tmp_path, dataset, values, zarr_format):
        names = {"y": "northing", "x": "easting", "band": "channel", "time": "t"}
        other = dataset.transpose("x", "y", "time", "band").rename(names | {"variables": "image"})
        check(written(other, tmp_path / "a.zarr", zarr_format), values)

    def test_a_variable_for_each_band(self, tmp_path, dataset, values, zarr_format):
        other = dataset["variables"].to_dataset("band").assign_attrs(UTM)
        store = written(other, tmp_path / "a.zarr", zarr_format)
        assert store.bands == ("a", "b", "c")
        check(store, values)

    def test_rows_that_run_north(self, tmp_path, dataset, values, zarr_format):
        store = written(dataset.sortby("y"), tmp_path / "a.zarr", zarr_format)
        check(store, values)
        assert store.geobox.affine.almost_equals(TRANSFORM)

    def test_columns_that_run_west(self, tmp_path, dataset, values, zarr_format):
        store = written(dataset.sortby("x", ascending=False), tmp_path / "a.zarr", zarr_format)
        check(store, values)
        assert store.geobox.affine.almost_equals(TRANSFORM)

    def test_no_time_and_no_band(self, tmp_path, dataset, values, zarr_format):
        plane = dataset["variables"][1, 1].drop_vars(["time", "band"])
        other = plane.to_dataset(name="height").assign_attrs(UTM)
        store = written(other, tmp_path / "a.zarr", zarr_format)
        assert store.bands == ("height",)
        assert [str(each)[:10] for each in store.times] == ["1970-01-01"]
        check(store, values[1:, 1:2], bands=(0,), time=0)

    def test_scaled_integers(self, tmp_path, dataset, values, zarr_format):
        encoding = {"dtype": "int16", "scale_factor": 1e-4, "_FillValue": -1}
        path = tmp_path / "a.zarr"
        found = written(dataset, path, zarr_format, encoding={"variables": encoding})
        pixels = found.read(0, None, Window(0, 0, HEIGHT, WIDTH))
        half_a_step = 0.5e-4 + 1e-7
        np.testing.assert_allclose(pixels, values[0], rtol=0, atol=half_a_step)


class TestPlaces:
    def check(self, dataset, path, epsg=32633):
        store = written(dataset, path)
        assert store.geobox.crs.epsg == epsg
        return store

    def test_the_crs_may_be_in_a_grid_mapping(self, tmp_path, dataset):
        other = dataset.drop_attrs(deep=False)
        other["variables"].attrs["grid_mapping"] = "crs"
        wkt = CRS.from_epsg(32633).to_wkt()
        self.check(other.assign(crs=((), 0, {"crs_wkt": wkt})), tmp_path / "a.zarr")

    def test_or_in_cf_parameters(self, tmp_path, dataset):
        other = dataset.drop_attrs(deep=False)
        other["variables"].attrs["grid_mapping"] = "mercator"
        parameters = CRS.from_epsg(32633).to_cf()
        del parameters["crs_wkt"]
        other = other.assign(mercator=((), 0, parameters))
        found = written(other, tmp_path / "a.zarr").geobox.crs.proj.to_cf()
        assert found["longitude_of_central_meridian"] == 15

    def test_or_in_the_variable(self, tmp_path, dataset):
        other = dataset.drop_attrs(deep=False)
        other["variables"].attrs["proj:projjson"] = CRS.from_epsg(32633).to_json_dict()
        self.check(other, tmp_path / "a.zarr")

    def test_latitude_and_longitude_speak_for_themselves(self, tmp_path, values):
        other = xr.Dataset(
            {"chm": (("latitude", "longitude"), values[0, 1])},
            {"latitude": 48 + np.arange(HEIGHT) / 100, "longitude": 13 + np.arange(WIDTH) / 100},
        )
        store = self.check(other, tmp_path / "a.zarr", 4326)
        north = 48 + (HEIGHT - 0.5) / 100
        assert store.geobox.affine.almost_equals(Affine(0.01, 0, 12.995, 0, -0.01, north), 1e-9)

    def test_coordinates_in_float32_are_regular_enough(self, tmp_path, values):
        coordinates = {"lat": (48 + np.arange(HEIGHT) / 1e4).astype(np.float32),
                       "lon": (13 + np.arange(WIDTH) / 1e4).astype(np.float32)}  # fmt: skip
        other = xr.Dataset({"chm": (("lat", "lon"), values[0, 1])}, coordinates)
        self.check(other, tmp_path / "a.zarr", 4326)

    def test_a_transform_stands_in_for_coordinates(self, tmp_path, dataset, values):
        other = dataset.drop_vars(["y", "x"])
        other.attrs |= {"spatial:transform": list(TRANSFORM)[:6], "spatial:dimensions": ["y", "x"]}
        store = self.check(other, tmp_path / "a.zarr")
        assert store.geobox.affine == TRANSFORM
        check(store, values)

    def test_a_pyramid_of_others_is_its_finest_level(self, tmp_path, dataset, values):
        layout = [{"asset": "0"}, {"asset": "1"}]
        path = tmp_path / "a.zarr"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.to_zarr(path, group="0", zarr_format=3)
            dataset.coarsen(y=2, x=2, boundary="pad").mean().to_zarr(path, group="1", zarr_format=3)
            attributes = {"multiscales": {"layout": layout}, **UTM}
            xr.Dataset(attrs=attributes).to_zarr(path, mode="a", zarr_format=3)
        check(CubeStore.open(str(path)), values)

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (lambda cube: cube.drop_attrs(), "does not say where it is"),
            (lambda cube: cube.drop_vars("y"), "'y' has no two coordinates"),
            (lambda cube: cube.assign_coords(x=np.arange(WIDTH) ** 2), "not evenly spaced"),
            (lambda cube: cube.expand_dims(level=2), "one of level, band is too many"),
            (lambda cube: cube.rename(y="u", x="v"), "not a mosaic"),
            (lambda cube: cube.assign_coords(time=[1, 2]), "has no dates"),
        ],
    )
    def test_what_cannot_be_placed_is_refused(self, tmp_path, dataset, change, sentence):
        with pytest.raises(StoreProblem, match=sentence):
            written(change(dataset), tmp_path / "a.zarr")


class TestUse:
    """What takes stores takes those of others too."""

    @pytest.fixture
    def theirs(self, tmp_path, dataset):
        return written(dataset.sortby("y"), tmp_path / "theirs.zarr", 2)

    def test_bytes_of_ours_that_others_copied_keep_their_nodata(self, tmp_path):
        values = np.array([[[[7, np.nan], [255, 1]]]], np.float32)
        ours = cube(tmp_path / "a.zarr", values, dtype="uint8")
        theirs = written(xr.open_zarr(ours.uri).drop_encoding(), tmp_path / "b.zarr")
        assert not theirs.native
        found = theirs.read(0, None, Window(0, 0, 2, 2))
        np.testing.assert_array_equal(found, values[0])

    def test_they_get_overviews(self, tmp_path, theirs, values):
        uri = build_multiscales(
            theirs, str(tmp_path / "m.zarr"), executor=LocalExecutor(1), report=unheard,
            cancelled=never, shard=16, chunk=8,
        )  # fmt: skip
        made = CubeStore.open(uri)
        assert made.native
        for time, expected in enumerate(values):
            found = made.read(time, None, Window(0, 0, HEIGHT, WIDTH))
            np.testing.assert_array_equal(found, expected)
        assert [each["asset"] for each in made.attributes["multiscales"]["layout"]] == [
            ".", "2x", "4x"
        ]  # fmt: skip

    def test_their_time_steps_are_compared(self, tmp_path, theirs, values):
        row = change_mosaics(
            [theirs], ["b"], str(tmp_path / "c.zarr"), executor=LocalExecutor(1),
            report=unheard, cancelled=never,
        )  # fmt: skip
        found = CubeStore.open(row.location).read(0, None, Window(0, 0, HEIGHT, WIDTH))
        np.testing.assert_array_equal(found[0], values[1, 1] - values[0, 1])
