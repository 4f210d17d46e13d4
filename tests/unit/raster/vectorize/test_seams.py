"""Any tiling, in any order, gives the shapes of the untiled raster, which are rasterio's."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from tests.engine.polygons import fingerprints, geometries, rasterio_shapes

from landloom.raster.grid import tiles
from landloom.raster.vectorize.seams import SeamMerger
from landloom.raster.vectorize.shapes import Shapes, concatenated
from landloom.raster.vectorize.tile import Seams, polygonize_tile


def tiled(
    values: NDArray[np.uint8],
    size: int,
    *,
    connectivity: int = 4,
    scores: NDArray[np.float32] | None = None,
    seed: int = 0,
) -> Shapes:
    """Polygonize tile by tile in a random order, draining now and then."""
    rng = np.random.default_rng(seed)
    height, width = values.shape
    merger = SeamMerger(connectivity)
    every = list(tiles(values.shape, size))
    pieces = []
    for index in rng.permutation(len(every)):
        tile = every[index]
        window = tile.window
        rows, columns = window.slices()
        found = polygonize_tile(
            np.ascontiguousarray(values[rows, columns]),
            None if scores is None else np.ascontiguousarray(scores[rows, columns]),
            origin_yx=(window.y0, window.x0),
            seams=Seams(window.y0 > 0, window.y1 < height, window.x0 > 0, window.x1 < width),
            connectivity=connectivity,
        )
        pieces.append(found.closed)
        merger.add(tile, found.open)
        if rng.random() < 0.3:
            pieces.append(merger.drain())
    pieces.append(merger.drain())
    assert not len(merger.drain())
    return in_order(concatenated(pieces))


def in_order(shapes: Shapes) -> Shapes:
    """Sort shapes by their first vertex, so that two lists of them compare."""
    first = shapes.first_vertices()
    order = np.lexsort((first[:, 1], first[:, 0]))
    starts = shapes.vertex_starts()
    return Shapes(
        np.concatenate(
            [np.empty((0, 2), np.int32)]
            + [shapes.vertices[starts[i] : starts[i + 1]] for i in order]
        ),
        *_reordered(shapes, order),
        None if shapes.statistics is None else shapes.statistics.taken(order),
    )


def _reordered(shapes: Shapes, order: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    rings, parts, counts = [0], [0], [0]
    for shape in order:
        for part in range(shapes.shape_starts[shape], shapes.shape_starts[shape + 1]):
            for ring in range(shapes.part_starts[part], shapes.part_starts[part + 1]):
                rings.append(rings[-1] + shapes.ring_starts[ring + 1] - shapes.ring_starts[ring])
            parts.append(len(rings) - 1)
        counts.append(len(parts) - 1)
    return np.array(rings), np.array(parts), np.array(counts)


def assert_same(one: Shapes, other: Shapes) -> None:
    """Hold every array of two results against each other, vertices, rings and sums."""
    for name in ("vertices", "ring_starts", "part_starts", "shape_starts"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    if one.statistics is not None and other.statistics is not None:
        for left, right in zip(astuple(one.statistics), astuple(other.statistics), strict=True):
            np.testing.assert_array_equal(left, right)


rasters = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(
    lambda shape: st.one_of(
        arrays(np.uint8, shape, elements=st.integers(0, 1)),
        arrays(np.uint8, shape, elements=st.integers(0, 3)),
        arrays(np.uint8, shape, elements=st.integers(1, 2), fill=st.just(1)),
    )
)


class TestAnyTiling:
    @given(rasters, st.integers(1, 13), st.integers(0, 99))
    @settings(max_examples=60, deadline=None)
    def test_equals_rasterio_untiled(self, values: NDArray[np.uint8], size: int, seed: int) -> None:
        found = geometries(tiled(values, size, seed=seed))
        assert all(shape.is_valid for shape in found)
        assert fingerprints(found) == fingerprints(rasterio_shapes(values))
        assert sum(shape.area for shape in found) == np.count_nonzero(values)

    @given(rasters, st.integers(1, 13), st.integers(0, 99))
    @settings(max_examples=40, deadline=None)
    def test_equals_rasterio_made_valid_with_eight_neighbours(
        self, values: NDArray[np.uint8], size: int, seed: int
    ) -> None:
        found = geometries(tiled(values, size, connectivity=8, seed=seed), 8)
        wanted = rasterio_shapes(values, 8)
        assert all(shape.is_valid for shape in found)
        assert len(found) == len(wanted)
        assert fingerprints(found) == fingerprints(wanted)

    @given(rasters, st.integers(1, 13), st.sampled_from([4, 8]), st.integers(0, 99))
    @settings(max_examples=40, deadline=None)
    def test_equals_the_untiled_result_to_the_last_bit(
        self, values: NDArray[np.uint8], size: int, connectivity: int, seed: int
    ) -> None:
        scores = np.random.default_rng(seed).random(values.shape).astype(np.float32)
        whole = tiled(values, 1000, connectivity=connectivity, scores=scores)
        assert_same(tiled(values, size, connectivity=connectivity, scores=scores, seed=seed), whole)

    @pytest.mark.parametrize("share", [0.3, 0.55, 0.62, 0.9])
    def test_holds_for_large_noise(self, share: float) -> None:
        values = (np.random.default_rng(3).random((301, 257)) < share).astype(np.uint8)
        found = geometries(tiled(values, 37))
        assert fingerprints(found) == fingerprints(rasterio_shapes(values))


def drawing(*rows: str) -> NDArray[np.uint8]:
    return np.array([[int(pixel == "#") for pixel in row] for row in rows], np.uint8)


class TestHardCases:
    @pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
    @pytest.mark.parametrize(
        ("values", "count", "holes"),
        [
            pytest.param(drawing("####", "#..#", "#..#", "####"), 1, 1, id="ring-round-a-corner"),
            pytest.param(drawing("#####", "#.#.#", "#####"), 1, 2, id="two-holes"),
            pytest.param(
                drawing("####", "#.##", "##.#", "####"), 1, 2, id="holes-meet-at-a-corner"
            ),
            pytest.param(drawing("###", "#.#", "##."), 1, 1, id="hole-meets-the-outside"),
            pytest.param(drawing("#.", ".#"), 2, 0, id="diagonal-neighbours"),
            pytest.param(drawing("#.#.#", "#.#.#", "#####"), 1, 0, id="comb-joined-at-the-end"),
            pytest.param(
                drawing("######", "#....#", "#.##.#", "#.##.#", "#....#", "######"),
                2,
                1,
                id="island-in-a-ring",
            ),
            pytest.param(np.ones((7, 7), np.uint8), 1, 0, id="all-of-it"),
            pytest.param(np.zeros((7, 7), np.uint8), 0, 0, id="nothing"),
        ],
    )
    def test_gives_whole_valid_polygons(
        self, values: NDArray[np.uint8], count: int, holes: int, size: int
    ) -> None:
        found = geometries(tiled(values, size))
        assert len(found) == count
        assert sum(len(shape.interiors) for shape in found) == holes
        assert all(shape.is_valid for shape in found)

    def test_joins_areas_that_touch_at_a_corner_of_four_tiles_if_asked_to(self) -> None:
        found = geometries(tiled(drawing("#.", ".#"), 1, connectivity=8), 8)
        assert [len(shape.geoms) for shape in found] == [2]

    def test_runs_exteriors_counter_clockwise_on_the_map(self) -> None:
        values = drawing("####", "#..#", "####")
        (shape,) = geometries(tiled(values, 2))
        flipped = shapely.transform(shape, lambda xy: xy * [1, -1])
        assert flipped.exterior.is_ccw
        assert not flipped.interiors[0].is_ccw


class TestStatistics:
    def test_are_those_of_the_pixels(self) -> None:
        rng = np.random.default_rng(5)
        values = (rng.random((40, 40)) < 0.6).astype(np.uint8)
        scores = rng.random((40, 40)).astype(np.float32)
        found = tiled(values, 9, scores=scores)
        assert found.statistics is not None
        for shape, count, mean, deviation, low, high in zip(
            geometries(found),
            found.statistics.count,
            found.statistics.mean(),
            found.statistics.deviation(),
            found.statistics.lowest,
            found.statistics.highest,
            strict=True,
        ):
            mask = shapely.contains_xy(
                shape, *np.meshgrid(np.arange(40) + 0.5, np.arange(40) + 0.5)
            )
            inside = scores[mask].astype(np.float64)
            assert count == len(inside) == shape.area
            assert mean == pytest.approx(inside.mean(), abs=1e-7)
            assert deviation == pytest.approx(inside.std(), abs=1e-7)
            assert (low, high) == (scores[mask].min(), scores[mask].max())


class TestMemory:
    def test_keeps_only_what_may_still_grow(self) -> None:
        values = np.zeros((64, 64), np.uint8)
        values[2:62:4, 2:62] = 1  # bars within rows of tiles, across their columns
        merger = SeamMerger()
        for tile in tiles(values.shape, 16):
            rows, columns = tile.window.slices()
            window = tile.window
            found = polygonize_tile(
                np.ascontiguousarray(values[rows, columns]),
                origin_yx=(window.y0, window.x0),
                seams=Seams(window.y0 > 0, window.y1 < 64, window.x0 > 0, window.x1 < 64),
            )
            merger.add(tile, found.open)
            bars = np.count_nonzero(values[rows, 30])
            assert len(merger.drain()) == (bars if window.x1 == 64 else 0)
