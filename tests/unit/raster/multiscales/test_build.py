"""Stores with overviews: right at every level, however they were made."""

import json
import posixpath
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401 - registers .rio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.cubes import cube, never, unheard
from tests.engine.overviews import halved
from tests.engine.tolerances import STATISTICS_RELATIVE

from landloom.errors import Cancelled, StoreProblem
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.multiscales import STATISTICS, build_multiscales
from landloom.raster.store import objects
from landloom.raster.store.zarr import CubeStore


@pytest.fixture(scope="module")
def executor():
    executor = LocalExecutor(2)
    yield executor
    executor.close()


def pixels(height=301, width=417, seed=0, steps=2):
    rng = np.random.default_rng(seed)
    values = rng.random((steps, 2, height, width), dtype=np.float32)
    values[rng.random(values.shape) < 0.3] = np.nan
    values[0, 0, : height // 2] = np.nan
    return values


def build(source, target, executor, **more):
    keywords = {"executor": executor, "report": unheard, "cancelled": never} | more
    return build_multiscales(source, str(target), **keywords)


def levels_of(uri):
    """Open what a reader of the convention finds: each asset, as the layout names it."""
    root = json.loads(Path(uri, "zarr.json").read_text())
    found = {}
    for entry in root["attributes"]["multiscales"]["layout"]:
        group = posixpath.normpath(posixpath.join("/", entry["asset"]))
        dataset = xr.open_zarr(uri, group=group, consolidated=True, chunks=None)
        assert list(dataset["variables"].shape[2:]) == entry["spatial:shape"]
        assert list(dataset.rio.transform())[:6] == entry["spatial:transform"]
        assert dataset.attrs["spatial:transform"] == entry["spatial:transform"]
        found[entry["asset"]] = dataset
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory, executor):
    folder = tmp_path_factory.mktemp("multiscales")
    values = pixels()
    source = cube(folder / "source.zarr", values, shard=128, chunk=32)
    return values, source, build(source, folder / "out.zarr", executor)


class TestPixels:
    def test_every_level_is_the_mean_of_the_one_before(self, made):
        values, _, uri = made
        levels = levels_of(uri)
        assert list(levels) == [".", "2x", "4x", "8x", "16x"]
        for dataset in levels.values():
            np.testing.assert_array_equal(dataset["variables"].values, values)
            values = halved(values)
        assert max(levels["16x"]["variables"].shape[2:]) <= 32
        assert max(levels["8x"]["variables"].shape[2:]) > 32

    @settings(max_examples=6, deadline=None)
    @given(
        size=st.tuples(st.integers(1, 150), st.integers(1, 150)),
        sizes=st.sampled_from([(16, 16), (48, 16), (64, 16), (32, 32), (17, 17)]),
    )
    def test_odd_sizes_and_any_shards_are_right(self, tmp_path_factory, executor, size, sizes):
        folder = tmp_path_factory.mktemp("odd")
        values = pixels(*size, steps=1)
        source = cube(folder / "a.zarr", values, shard=sizes[0], chunk=sizes[1])
        for dataset in levels_of(build(source, folder / "b.zarr", executor)).values():
            np.testing.assert_array_equal(dataset["variables"].values, values)
            values = halved(values)

    def test_do_not_depend_on_shards(self, made, tmp_path, executor):
        values, _, uri = made
        source = cube(tmp_path / "a.zarr", values, shard=96, chunk=32)
        other, first = levels_of(build(source, tmp_path / "b.zarr", executor)), levels_of(uri)
        for name, dataset in first.items():
            found = other[name]["variables"].values
            np.testing.assert_array_equal(found, dataset["variables"].values)
        ours, theirs = (each["."].attrs[STATISTICS]["bands"] for each in (first, other))
        for band in ours:
            for name in ("mean", "stddev"):
                expected = pytest.approx(ours[band].pop(name), rel=STATISTICS_RELATIVE)
                assert theirs[band].pop(name) == expected
        assert ours == theirs

    def test_bytes_stay_bytes(self, tmp_path, executor):
        values = np.random.default_rng(2).integers(0, 256, (1, 3, 90, 70)).astype(np.float32)
        values[values == 0] = np.nan
        source = cube(tmp_path / "a.zarr", values, shard=64, chunk=32, dtype="uint8")
        for dataset in levels_of(build(source, tmp_path / "b.zarr", executor)).values():
            assert dataset["variables"].dtype == np.uint8
            np.testing.assert_array_equal(dataset["variables"].values, np.nan_to_num(values))
            values = np.rint(halved(values))

    def test_a_store_of_one_chunk_has_no_overviews(self, tmp_path, executor):
        source = cube(tmp_path / "a.zarr", pixels(20, 31), shard=64, chunk=32)
        levels = levels_of(build(source, tmp_path / "b.zarr", executor))
        assert list(levels) == ["."]
        assert levels["."].attrs[STATISTICS]["shards"] == 2


class TestReaders:
    def test_xarray_opens_the_root_as_if_there_were_no_overviews(self, made):
        _, source, uri = made
        dataset, plain = (xr.open_zarr(each, chunks=None) for each in (uri, source.uri))
        xr.testing.assert_equal(dataset, plain)
        assert dataset.rio.crs == plain.rio.crs

    def test_every_level_is_a_store_of_ours(self, made):
        _, source, uri = made
        for factor in (2, 4):
            level = CubeStore.open(f"{uri}/{factor}x")
            assert level.complete
            assert (level.bands, level.times) == (source.bands, source.times)
            assert level.resolution == 10 * factor
        assert CubeStore.open(uri).complete

    def test_the_root_names_conventions_and_a_tile_matrix_set(self, made):
        attributes = xr.open_zarr(made[2]).attrs
        named = {each["name"] for each in attributes["zarr_conventions"]}
        assert named == {"multiscales", "proj", "spatial"}
        multiscales = attributes["multiscales"]
        assert multiscales["resampling_method"] == "average"
        matrices = multiscales["tile_matrix_set"]["tileMatrices"]
        assert [each["id"] for each in matrices] == ["16x", "8x", "4x", "2x", "."]
        assert matrices[-1]["cellSize"] == 10
        # OGC draws a pixel 0.28 mm wide: 10 m are 1 : 35714.
        assert round(matrices[-1]["scaleDenominator"]) == 35714

    @pytest.mark.parametrize(("epsg", "name"), [(4326, "WGS84Quad"), (3857, "WebMercatorQuad")])
    def test_common_grids_have_common_names(self, tmp_path, executor, epsg, name):
        resolution = 8.983119e-5 if epsg == 4326 else 10
        values = pixels(40, 40, steps=1)
        source = cube(tmp_path / "a.zarr", values, epsg=epsg, resolution=resolution)
        uri = build(source, tmp_path / "b.zarr", executor)
        assert xr.open_zarr(uri).attrs["multiscales"]["tile_matrix_set"] == name

    def test_statistics_stand_in_the_root(self, made):
        values, _, uri = made
        found = xr.open_zarr(uri).attrs[STATISTICS]
        assert (found["shards"], found["of_shards"]) == (24, 24)
        for number, band in enumerate(found["bands"].values()):
            expected = values[:, number].astype(np.float64)
            assert band["count"] == np.isfinite(expected).sum() == sum(band["histogram"]["counts"])
            assert band["mean"] == pytest.approx(np.nanmean(expected), rel=STATISTICS_RELATIVE)
            assert band["stddev"] == pytest.approx(np.nanstd(expected), rel=STATISTICS_RELATIVE)
            limits = np.nanpercentile(expected, [2, 98])
            assert list(band["percentiles"].values()) == pytest.approx(limits, abs=1 / 2048)

    def test_lengths_of_time_steps_come_along(self, tmp_path, executor):
        deltas = [np.timedelta64(365, "D")]
        source = cube(tmp_path / "a.zarr", pixels(50, 50, steps=1), time_deltas=deltas)
        for dataset in levels_of(build(source, tmp_path / "b.zarr", executor)).values():
            (end,) = (dataset["time"] + dataset["time_delta"]).values
            assert end == np.datetime64("2024-01-01")


class TestRestarts:
    def test_what_is_there_is_kept(self, tmp_path, executor):
        values = pixels(150, 150)
        source = cube(tmp_path / "a.zarr", values, shard=32, chunk=16)
        told = []

        def report(*_):
            told.append(1)

        target = str(tmp_path / "b.zarr")
        with pytest.raises(Cancelled):
            build(source, target, executor, report=report, cancelled=lambda: len(told) > 20)
        assert not CubeStore.open(target).complete
        there = {each: at for each, at in written(target).items() if "/variables/c/" in each}
        assert there
        uri = build(source, target, executor)
        assert there.items() <= written(target).items()
        found = xr.open_zarr(uri).attrs[STATISTICS]["bands"]["b0"]
        assert found["count"] == np.isfinite(values[:, 0]).sum()
        for dataset in levels_of(uri).values():
            np.testing.assert_array_equal(dataset["variables"].values, values)
            values = halved(values)

    def test_a_finished_one_is_not_made_again(self, made, executor):
        _, source, uri = made
        before = written(uri)
        build(source, uri, executor)
        changed = set(before.items()) ^ set(written(uri).items())
        assert {each for each, _ in changed} <= {f"{uri}/zarr.json"}

    def test_nothing_of_the_work_is_left_in_the_store(self, made):
        assert [each for each in objects.list_objects(made[2]) if "_landloom" in each] == []

    def test_another_source_is_refused(self, made, tmp_path, executor):
        other = cube(tmp_path / "a.zarr", pixels(), shard=128, chunk=32)
        with pytest.raises(StoreProblem, match="another mosaic"):
            build(other, made[2], executor)

    def test_an_unfinished_source_is_refused(self, tmp_path, executor):
        source = cube(tmp_path / "a.zarr", pixels(40, 40), finished=False)
        with pytest.raises(StoreProblem, match="not finished"):
            build(source, tmp_path / "b.zarr", executor)


def written(uri):
    """Return when each object was written."""
    return {each: Path(each).stat().st_mtime_ns for each in objects.list_objects(uri)}
