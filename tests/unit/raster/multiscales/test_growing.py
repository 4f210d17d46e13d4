"""Overviews that grow with their store."""

import random
from collections import Counter

import numpy as np
import pytest
import xarray as xr
from tests.engine.cubes import cube, never
from tests.engine.overviews import halved

from landloom.errors import Cancelled, StoreProblem
from landloom.raster.grid import Window
from landloom.raster.multiscales import STATISTICS, GrowingOverviews, summarize_shard
from landloom.raster.store import objects
from landloom.raster.store.zarr import CubeStore

SHARD, CHUNK = 32, 8
HEIGHT, WIDTH = 150, 140  # five by five shards, the last ones small


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(5).random((2, 1, HEIGHT, WIDTH), dtype=np.float32)


@pytest.fixture
def store(tmp_path):
    """An empty store, as a mosaic is before its first tile."""
    empty = np.zeros((2, 1, 0, 0), np.float32)
    return cube(tmp_path / "a.zarr", empty, shape_yx=(HEIGHT, WIDTH), shard=SHARD, chunk=CHUNK,
                finished=False)  # fmt: skip


def write(store, values, place):
    """Write a shard of full resolution."""
    time, iy, ix = place
    window = store.shard_window(iy, ix)
    store.write_shard(time, iy, ix, [(window, values[(time, slice(None), *window.slices())])])


def take(growing, place):
    growing.add(place, summarize_shard(growing.pyramid, place, never), never)


def check(store, values):
    """Hold every level against numpy."""
    for level in GrowingOverviews.begin(store).pyramid.levels:
        for time, expected in enumerate(values):
            found = CubeStore.open(level.uri).read(time, None, Window(0, 0, *level.shape_yx))
            np.testing.assert_array_equal(found, expected)
        values = halved(values)


def test_a_map_sees_it_grow(store, values):
    growing = GrowingOverviews.begin(store)
    levels = growing.pyramid.levels
    assert [level.uri.rsplit("/", 1)[1] for level in levels[1:]] == ["2x", "4x", "8x", "16x", "32x"]
    # 32 px hold 16 and 8 px shards of whole chunks; from 8x on four neighbours make one.
    assert [level.shard for level in levels] == [32, 16, 8, 8, 8, 8]
    assert xr.open_zarr(store.uri, group="4x", chunks=None)["variables"].isnull().all()
    places = growing.pyramid.shards(0)
    random.Random(1).shuffle(places)
    done = set()
    for place in places:
        write(store, values, place)
        take(growing, place)
        done.add(place)
        _, iy, ix = place
        assert levels[2].has_shard(*place)
        neighbours = {(place[0], y, x) for y in (iy & ~1, iy | 1) for x in (ix & ~1, ix | 1)}
        wanted = {each for each in neighbours if each[1] < 5 and each[2] < 5}
        assert levels[3].has_shard(place[0], iy // 2, ix // 2) == (wanted <= done)
        if len(done) == 16:
            said = xr.open_zarr(store.uri, chunks=None).attrs[STATISTICS]
            assert (said["shards"], said["of_shards"]) == (16, 50)
            assert said["bands"]["b0"]["count"] > 0
    growing.finish()
    check(store, values)
    final = store.finish({"note": "done"})
    assert final.attributes[STATISTICS]["bands"]["b0"]["count"] == values.size
    assert final.attributes["note"] == "done"
    assert "multiscales" in final.attributes


def test_the_order_of_shards_shows_nowhere(tmp_path, values):
    found = []
    for seed in range(3):
        empty = np.zeros((2, 1, 0, 0), np.float32)
        store = cube(tmp_path / f"{seed}.zarr", empty, shape_yx=(HEIGHT, WIDTH), shard=SHARD,
                     chunk=CHUNK, finished=False)  # fmt: skip
        growing = GrowingOverviews.begin(store)
        places = growing.pyramid.shards(0)
        random.Random(seed).shuffle(places)
        for place in places:
            write(store, values, place)
            take(growing, place)
        growing.finish()
        objects_of = {
            uri.removeprefix(store.uri): objects.read_bytes(uri)
            for uri in objects.list_objects(store.uri)
        }
        found.append(objects_of)
    assert found[0] == found[1] == found[2]


def test_after_a_kill_only_what_is_missing_is_made(store, values, monkeypatch):
    growing = GrowingOverviews.begin(store)
    places = growing.pyramid.shards(0)
    for place in places[:20]:
        write(store, values, place)
        take(growing, place)
    write(store, values, places[20])  # killed before its overviews were written
    written = Counter()
    real = CubeStore.write_shard

    def counted(self, *place_and_more):
        written[self.uri, place_and_more[:3]] += 1
        real(self, *place_and_more)

    monkeypatch.setattr(CubeStore, "write_shard", counted)
    again = GrowingOverviews.begin(CubeStore.open(store.uri))
    missing = again.missing(store.finished_shards())
    assert missing == sorted(places[:21])
    for place in missing:
        take(again, place)
    for place in places[21:]:
        write(store, values, place)
        take(again, place)
    again.finish()
    assert set(written.values()) == {1}
    assert not any(place in places[:20] for uri, place in written if uri.endswith(("/2x", "/4x")))
    check(store, values)


def test_a_kill_after_the_end_makes_nothing_twice(store, values):
    growing = GrowingOverviews.begin(store)
    for place in growing.pyramid.shards(0):
        write(store, values, place)
        take(growing, place)
    growing.finish()
    again = GrowingOverviews.begin(CubeStore.open(store.uri))
    assert again.missing(store.finished_shards()) == []
    again.finish()
    assert store.finish({}).complete


def test_finishing_too_early_is_an_error(store, values):
    growing = GrowingOverviews.begin(store)
    write(store, values, (0, 0, 0))
    take(growing, (0, 0, 0))
    with pytest.raises(StoreProblem, match="50 shards; overviews were made of 1"):
        growing.finish()


def test_cancelling_leaves_no_shard_half_written(store, values):
    growing = GrowingOverviews.begin(store)
    write(store, values, (0, 0, 0))
    with pytest.raises(Cancelled):
        summarize_shard(growing.pyramid, (0, 0, 0), lambda: True)
    assert not growing.pyramid.levels[1].has_shard(0, 0, 0)
