"""The mosaic store: written by sub-tiles, read by windows and by everybody else's readers."""

import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401 - registers .rio
import shapely
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from landloom.errors import StoreProblem
from landloom.raster.grid import Window, geobox_for, tiles
from landloom.raster.store.zarr import CubeStore

GEOBOX = geobox_for(shapely.box(13.10, 48.27, 13.13, 48.29), None, 10)
HEIGHT, WIDTH = GEOBOX.shape
BANDS = ["s2:B02", "s2:B03", "N_Ö"]
TIMES = [np.datetime64("2023-01-01"), np.datetime64("2024-01-01")]


def create(uri, **changes):
    geometry = {"geobox": GEOBOX, "bands": BANDS, "times": TIMES, "attributes": {"made": "here"}}
    return CubeStore.create(str(uri), **geometry | {"shard": 128, "chunk": 64} | changes)


def pixels(seed=0):
    values = np.random.default_rng(seed).random((2, 3, HEIGHT, WIDTH), dtype=np.float32)
    values[0, 1, :150] = np.nan
    values[1, :, -90:] = np.nan
    return values


def fill(store, values, subtile=100, *, by_band=False):
    for time_index in range(len(values)):
        for tile in tiles(store.shape_yx, store.shard):
            store.write_shard(
                time_index, tile.iy, tile.ix,
                _subtiles(values[time_index], tile.window, subtile, by_band=by_band),
            )  # fmt: skip


def _subtiles(cube, shard, size, *, by_band):
    for piece in tiles(shard.shape_yx, size):
        window = piece.window.shifted(shard.y0, shard.x0)
        part = cube[(slice(None), *window.slices())]
        if by_band:
            yield from ((window, part[band : band + 1], band) for band in range(len(part)))
        else:
            yield window, part


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    values = pixels()
    store = create(tmp_path_factory.mktemp("store") / "cube.zarr")
    fill(store, values)
    return store.finish({"note": "done"}), values


class TestWriting:
    @pytest.mark.parametrize("by_band", [False, True])
    @pytest.mark.parametrize("subtile", [17, 64, 128])
    def test_sub_tiles_of_any_size_give_the_same_bytes(self, tmp_path, filled, subtile, by_band):
        store = create(tmp_path / "other.zarr")
        fill(store, filled[1], subtile, by_band=by_band)
        for time_index in range(2):
            found = store.read(time_index, None, Window(0, 0, HEIGHT, WIDTH))
            np.testing.assert_array_equal(found, filled[1][time_index])

    def test_a_failing_source_leaves_no_shard(self, tmp_path):
        store = create(tmp_path / "a.zarr")

        def broken():
            yield Window(0, 0, 128, 64), np.zeros((3, 128, 64), np.float32)
            raise KeyError("boom")

        with pytest.raises(KeyError, match="boom"):
            store.write_shard(0, 0, 0, broken())
        assert not store.has_shard(0, 0, 0)
        assert np.isnan(store.read(0, None, Window(0, 0, 10, 10))).all()

    def test_pixels_left_out_are_an_error(self, tmp_path):
        store = create(tmp_path / "a.zarr")
        half = [(Window(0, 0, 128, 64), np.zeros((3, 128, 64), np.float32))]
        with pytest.raises(StoreProblem, match="never computed"):
            store.write_shard(0, 0, 0, half)
        assert not store.has_shard(0, 0, 0)

    def test_pixels_outside_are_an_error(self, tmp_path):
        store = create(tmp_path / "a.zarr")
        wrong = [(Window(0, 64, 128, 192), np.zeros((3, 128, 128), np.float32))]
        with pytest.raises(StoreProblem, match="outside its shard"):
            store.write_shard(0, 0, 0, wrong)

    def test_an_empty_shard_is_there_all_the_same(self, tmp_path):
        store = create(tmp_path / "a.zarr")
        empty = np.full((3, 128, 128), np.nan, np.float32)
        store.write_shard(0, 0, 0, [(Window(0, 0, 128, 128), empty)])
        assert store.has_shard(0, 0, 0)
        assert np.isnan(store.read(0, None, Window(0, 0, 128, 128))).all()

    def test_finished_shards_are_listed_without_leftovers(self, tmp_path):
        store = create(tmp_path / "a.zarr")
        assert store.finished_shards() == set()
        empty = np.full((3, 128, 128), np.nan, np.float32)
        store.write_shard(1, 0, 0, [(Window(0, 0, 128, 128), empty)])
        (tmp_path / "a.zarr/variables/c/1/0/0/1#1").write_bytes(b"unfinished")
        assert store.finished_shards() == {(1, 0, 0)}

    def test_a_shard_written_again_is_read_anew(self, tmp_path):
        store = create(tmp_path / "a.zarr")
        for value in (1, 2):
            block = np.full((3, 128, 128), value, np.float32)
            store.write_shard(0, 0, 0, [(Window(0, 0, 128, 128), block)])
            assert store.read(0, None, Window(0, 0, 5, 5)).min() == value


class TestBytes:
    """uint8 stores: 0 is no value."""

    @pytest.fixture
    def values(self):
        return np.random.default_rng(1).integers(0, 256, (2, 3, HEIGHT, WIDTH)).astype(np.float32)

    @pytest.fixture
    def stored(self, tmp_path, values):
        store = create(tmp_path / "naip.zarr", dtype="uint8")
        fill(store, np.where(values == 0, np.nan, values))
        return store.finish({})

    def test_are_read_as_float32_with_nan(self, stored, values):
        found = CubeStore.open(stored.uri).read(1, None, Window(-5, 0, HEIGHT, WIDTH))
        assert found.dtype == np.float32
        expected = np.where(values[1] == 0, np.nan, values[1])
        np.testing.assert_array_equal(found[:, 5:], expected)
        assert np.isnan(found[:, :5]).all()

    def test_open_in_plain_xarray_as_uint8(self, stored, values):
        dataset = xr.open_zarr(stored.uri)
        assert dataset["variables"].dtype == np.uint8
        np.testing.assert_array_equal(dataset["variables"].values, values)
        assert dataset["variables"].rio.nodata == 0
        assert dataset.rio.crs.to_epsg() == 32633

    def test_are_rounded_and_cut_to_their_range(self, tmp_path):
        store = create(tmp_path / "a.zarr", dtype="uint8")
        row = np.array([-3, 0.4, 0.6, 2.5, 254.6, 300, np.inf, np.nan], np.float32)
        block = np.tile(row, (3, 128, 16))
        store.write_shard(0, 0, 0, [(Window(0, 0, 128, 128), block)])
        found = store.read(0, BANDS[:1], Window(0, 0, 1, 8))[0, 0]
        np.testing.assert_array_equal(found, [np.nan, np.nan, 1, 2, 255, 255, 255, np.nan])

    def test_an_empty_shard_takes_no_room(self, tmp_path):
        store = create(tmp_path / "a.zarr", dtype="uint8")
        store.write_shard(
            0, 0, 0, [(Window(0, 0, 128, 128), np.full((3, 128, 128), np.nan, np.float32))]
        )
        assert (tmp_path / "a.zarr/variables/c/0/0/0/0").stat().st_size == 3 * 4 * 16 + 4

    def test_reopen_as_what_they_are(self, stored, tmp_path):
        assert CubeStore.open(stored.uri) == stored
        with pytest.raises(StoreProblem, match="another mosaic"):
            create(tmp_path / "naip.zarr")
        with pytest.raises(StoreProblem, match="int16 is none of"):
            create(tmp_path / "other.zarr", dtype="int16")


class TestCreating:
    def test_the_same_geometry_reopens_the_store(self, tmp_path):
        fill(create(tmp_path / "a.zarr"), pixels())
        assert create(tmp_path / "a.zarr").has_shard(1, 0, 0)

    @pytest.mark.parametrize(
        "change",
        [
            {"bands": ["x"]}, {"times": TIMES[:1]}, {"shard": 256}, {"attributes": {"made": "x"}},
            {"geobox": geobox_for(shapely.box(13, 48, 13.01, 48.01), None, 10)},
        ],
    )  # fmt: skip
    def test_another_geometry_is_refused(self, tmp_path, change):
        create(tmp_path / "a.zarr")
        with pytest.raises(StoreProblem, match="another mosaic"):
            create(tmp_path / "a.zarr", **change)

    def test_a_shard_is_a_whole_number_of_chunks(self, tmp_path):
        with pytest.raises(StoreProblem, match="multiple"):
            create(tmp_path / "a.zarr", shard=100)

    def test_opening_nothing_says_so(self, tmp_path):
        with pytest.raises(StoreProblem, match="no mosaic at"):
            CubeStore.open(str(tmp_path / "none.zarr"))


class TestReading:
    @settings(max_examples=40, deadline=None)
    @given(y0=st.integers(-80, 250), x0=st.integers(-80, 250), height=st.integers(1, 200),
           width=st.integers(1, 200), order=st.permutations(range(3)))  # fmt: skip
    def test_any_window_equals_the_pixels(self, filled, y0, x0, height, width, order):
        store, values = filled
        window = Window(y0, x0, y0 + height, x0 + width)
        found = store.read(0, [BANDS[band] for band in order[:2]], window)
        padded = np.pad(values[0], ((0, 0), (100, 500), (100, 500)), constant_values=np.nan)
        expected = padded[(order[:2], *window.shifted(100, 100).slices())]
        np.testing.assert_array_equal(found, expected)

    def test_an_unknown_band_lists_the_known_ones(self, filled):
        with pytest.raises(StoreProblem, match="s2:B02, s2:B03"):
            filled[0].read(0, ["red"], Window(0, 0, 1, 1))

    def test_a_damaged_index_is_noticed(self, tmp_path):
        store = create(tmp_path / "a.zarr")
        fill(store, pixels())
        shard = tmp_path / "a.zarr/variables/c/0/0/0/0"
        data = bytearray(shard.read_bytes())
        data[-20] ^= 1
        shard.write_bytes(data)
        with pytest.raises(StoreProblem, match="checksum"):
            CubeStore.open(store.uri).read(0, None, Window(0, 0, 5, 5))

    def test_another_setting_of_the_compressor_is_our_layout_too(self, tmp_path):
        store = create(tmp_path / "a.zarr")
        root = tmp_path / "a.zarr" / "zarr.json"
        document = json.loads(root.read_text())
        array = document["consolidated_metadata"]["metadata"]["variables"]
        array["codecs"][0]["configuration"]["codecs"][1]["configuration"]["clevel"] = 9
        root.write_text(json.dumps(document))
        assert CubeStore.open(store.uri).native
        array["codecs"][0]["configuration"]["codecs"][1]["configuration"]["typesize"] = 8
        root.write_text(json.dumps(document))
        assert not CubeStore.open(store.uri).native

    def test_open_gives_back_the_geometry(self, filled):
        store = CubeStore.open(filled[0].uri)
        assert store == filled[0]
        assert store.complete
        assert store.attributes["note"] == "done"
        assert store.native


class TestCompanions:
    def test_do_not_show_in_listings(self, filled):
        store = filled[0]
        companion = Path(store.companion("scenes.json"))
        companion.parent.mkdir()
        companion.write_text("{}")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            group = zarr.open_group(store.uri, mode="r")
            assert set(group) == {"variables", "band", "time", "y", "x", "spatial_ref"}
            assert set(xr.open_zarr(store.uri).variables) == set(group)
        with pytest.warns(UserWarning, match="_landloom is not recognized"):
            assert set(xr.open_zarr(store.uri, consolidated=False).variables) == set(group)
        assert CubeStore.open(store.uri).finished_shards() == store.finished_shards()

    def test_a_store_travels_to_other_processes_without_what_it_remembers(self, filled):
        store, values = filled
        store.read(0, None, Window(0, 0, 9, 9))
        there = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
        assert there == store
        assert there._array._indexes == {}
        np.testing.assert_array_equal(there.read(1, None, Window(0, 0, 9, 9)), values[1, :, :9, :9])


class TestForeignReaders:
    def test_xarray_and_rioxarray_read_pixels_and_place(self, filled):
        store, values = filled
        dataset = xr.open_zarr(store.uri, consolidated=True)
        cube = dataset["variables"]
        assert cube.dims == ("time", "band", "y", "x")
        assert dataset["band"].data.tolist() == BANDS
        assert dataset.rio.crs.to_epsg() == 32633
        assert (cube + cube).rio.transform() == cube.rio.transform() == GEOBOX.affine
        np.testing.assert_array_equal(cube.values, values)
        np.testing.assert_array_equal(cube.sel(time="2024", band="s2:B03").values, values[1:, 1])
        assert dataset["y"].values[0] > dataset["y"].values[-1]

    def test_time_deltas_become_a_coordinate(self, tmp_path):
        year = np.timedelta64(365, "D")
        store = create(tmp_path / "a.zarr", time_deltas=[year, year + np.timedelta64(1, "D")])
        assert CubeStore.open(store.uri) == store
        dataset = xr.open_zarr(store.uri)
        assert "time_delta" in dataset["variables"].coords
        ends = dataset["time"].values + dataset["time_delta"].values
        assert [str(end)[:10] for end in ends] == ["2024-01-01", "2025-01-01"]

    def test_a_store_by_others_can_be_read(self, tmp_path, filled):
        store, values = filled
        dataset = xr.open_zarr(store.uri).load().drop_encoding()
        dataset.to_zarr(tmp_path / "theirs.zarr", zarr_format=3, consolidated=False)
        theirs = CubeStore.open(str(tmp_path / "theirs.zarr"))
        assert not theirs.native
        assert theirs.bands == tuple(BANDS)
        assert theirs.geobox.affine.almost_equals(GEOBOX.affine)
        window = Window(-3, 5, 40, 60)
        np.testing.assert_array_equal(
            theirs.read(1, BANDS[:1], window), store.read(1, BANDS[:1], window)
        )
        with pytest.raises(StoreProblem, match="only read"):
            theirs.write_shard(0, 0, 0, [])
        assert values.shape[0] == len(theirs.times)

    def test_what_is_no_mosaic_is_refused(self, tmp_path):
        xr.Dataset({"other": ("x", np.zeros(3))}).to_zarr(tmp_path / "x.zarr", zarr_format=3)
        with pytest.raises(StoreProblem, match="not a mosaic"):
            CubeStore.open(str(tmp_path / "x.zarr"))
