"""Change between time steps of one grid."""

import numpy as np
import pytest
import xarray as xr
from tests.engine.cubes import all_pixels, cube, never, unheard

from landloom.errors import Cancelled, InvalidInput
from landloom.raster.change import change_mosaics
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.store.zarr import CubeStore


@pytest.fixture(scope="module")
def executor():
    executor = LocalExecutor(2)
    yield executor
    executor.close()


def pixels(steps, bands=2, seed=0, shape=(90, 130)):
    rng = np.random.default_rng(seed)
    values = rng.random((steps, bands, *shape), dtype=np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    return values


def change(sources, target, executor, features=None, **more):
    keywords = {"executor": executor, "report": unheard, "cancelled": never} | more
    return change_mosaics(sources, features, str(target), **keywords)


def test_later_minus_earlier_for_each_pair(tmp_path, executor):
    values = pixels(3)
    row = change([cube(tmp_path / "a.zarr", values)], tmp_path / "c.zarr", executor)
    dataset = xr.open_zarr(row.location)
    np.testing.assert_array_equal(dataset["variables"].values, values[1:] - values[:-1])
    assert row.bands == dataset["band"].values.tolist() == ["b0", "b1"]
    starts, ends = dataset["time"], dataset["time"] + dataset["time_delta"]
    assert np.issubdtype(dataset["time_delta"].dtype, np.timedelta64)
    assert [str(each)[:10] for each in starts.values] == ["2023-01-01", "2024-01-01"]
    assert [str(each)[:10] for each in ends.values] == ["2024-01-01", "2025-01-01"]
    valid = np.isfinite(values[1:] - values[:-1]).all(axis=1).mean()
    assert row.valid_fraction == valid
    assert CubeStore.open(row.location).complete


def test_stores_are_put_in_order_of_time(tmp_path, executor):
    values = pixels(2)
    late = cube(tmp_path / "late.zarr", values[1:], first_year=2024)
    early = cube(tmp_path / "early.zarr", values[:1], shard=32)
    row = change([late, early], tmp_path / "c.zarr", executor, ["b1"])
    np.testing.assert_array_equal(
        all_pixels(CubeStore.open(row.location))[0], values[1, 1] - values[0, 1]
    )


def test_bytes_become_signed(tmp_path, executor):
    values = np.array([[[[10, 0]]], [[[7, 5]]]], np.float32)
    values[values == 0] = np.nan
    row = change([cube(tmp_path / "a.zarr", values, dtype="uint8")], tmp_path / "c.zarr", executor)
    found = all_pixels(CubeStore.open(row.location))
    np.testing.assert_array_equal(found, [[[-3, np.nan]]])


def test_what_was_ended_goes_on(tmp_path, executor):
    values = pixels(2)
    source = cube(tmp_path / "a.zarr", values)
    told = []

    def report(*_):
        told.append(1)

    with pytest.raises(Cancelled):
        change([source], tmp_path / "c.zarr", executor, report=report, cancelled=lambda: told)
    begun = CubeStore.open(str(tmp_path / "c.zarr"))
    assert begun.finished_shards()
    assert not begun.complete
    row = change([source], tmp_path / "c.zarr", executor)
    np.testing.assert_array_equal(all_pixels(CubeStore.open(row.location)), values[1] - values[0])
    assert row.valid_fraction == np.isfinite(values[1] - values[0]).all(axis=0).mean()


class TestRefused:
    def test_grids_that_differ(self, tmp_path, executor):
        one = cube(tmp_path / "one.zarr", pixels(1))
        for number, other in enumerate(
            [
                cube(tmp_path / "shifted.zarr", pixels(1), origin_yx=(-532_003, 40_008)),
                cube(tmp_path / "larger.zarr", pixels(1, shape=(90, 131))),
                cube(tmp_path / "elsewhere.zarr", pixels(1), epsg=32634),
                cube(tmp_path / "finer.zarr", pixels(1), resolution=5),
            ]
        ):
            with pytest.raises(InvalidInput, match=r"not on the grid of .*one\.zarr .*130 px"):
                change([one, other], tmp_path / f"{number}.zarr", executor)

    def test_a_single_time_step(self, tmp_path, executor):
        with pytest.raises(InvalidInput, match="one time step"):
            change([cube(tmp_path / "a.zarr", pixels(1))], tmp_path / "c.zarr", executor)

    def test_the_same_time_twice(self, tmp_path, executor):
        stores = [cube(tmp_path / f"{name}.zarr", pixels(1)) for name in "ab"]
        with pytest.raises(InvalidInput, match="both have a time step 2023-01-01"):
            change(stores, tmp_path / "c.zarr", executor)

    def test_a_band_that_is_not_there(self, tmp_path, executor):
        source = cube(tmp_path / "a.zarr", pixels(2))
        with pytest.raises(InvalidInput, match="no band 'red'") as caught:
            change([source], tmp_path / "c.zarr", executor, ["red"])
        assert "b0, b1" in caught.value.suggestion

    def test_nothing_at_all(self, tmp_path, executor):
        with pytest.raises(InvalidInput, match="no mosaic"):
            change([], tmp_path / "c.zarr", executor)
