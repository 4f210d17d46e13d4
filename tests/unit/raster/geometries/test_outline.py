"""Outlines of things: the same shapes whether drawn one by one or many on a sheet."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import shapes as rasterio_shapes
from scipy import ndimage

from landloom.raster.geometries.merge import Thing
from landloom.raster.geometries.outline import box_shapes, outline, outlines
from landloom.raster.geometries.sighting import Sighting
from landloom.raster.grid import Window
from landloom.raster.predict.pixels import hull


def thing(rng: np.random.Generator, number: int, most: int) -> Thing:
    """A thing of one or two views with holes and several parts, anywhere in a large raster."""
    corner = rng.integers(0, 100_000, 2)
    views = []
    for view in range(rng.integers(1, 3)):
        height, width = (int(side) for side in rng.integers(1, most, 2))
        mask = ndimage.gaussian_filter(rng.random((height, width)), 1) > 0.5
        mask[0, 0] = mask[-1, -1] = True
        y, x = (int(side) for side in corner + rng.integers(0, 5, 2))
        window = Window(y, x, y + height, x + width)
        bits = np.packbits(mask)
        views.append(Sighting(((0, view), number), 0, 0.5, window, bits, window, cut=False))
    return Thing(0, 0.5, tuple(views), hull(view.window for view in views))


def arrays(shapes):
    return [shapes.vertices, shapes.ring_starts, shapes.part_starts, shapes.shape_starts]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 40), sheet=st.sampled_from([8, 24, 100]))
def test_sheets_are_not_seen_in_outlines(seed, count, sheet):
    rng = np.random.default_rng(seed)
    things = [thing(rng, number, 20) for number in range(count)]
    together = outlines(things, sheet=sheet)
    assert len(together) == count
    for number, each in enumerate(things):
        one = together.taken(np.array([number]))
        for found, alone in zip(arrays(one), arrays(outline(each)), strict=True):
            np.testing.assert_array_equal(found, alone)


def test_an_outline_is_that_of_the_union_of_all_views():
    each = thing(np.random.default_rng(4), 0, 40)
    ground = hull(view.window for view in each.sightings)
    drawn = np.zeros(ground.shape_yx, np.uint8)
    for view in each.sightings:
        drawn |= view.mask_in(ground)
    expected = shapely.union_all(
        [
            shapely.geometry.shape(found)
            for found, value in rasterio_shapes(drawn, connectivity=4)
            if value
        ]
    )
    shapes = outlines([each])
    rings = np.split(shapes.vertices[:, ::-1] - (ground.x0, ground.y0), shapes.ring_starts[1:-1])
    parts = np.split(np.arange(len(rings)), shapes.part_starts[1:-1])
    polygons = [
        shapely.Polygon(rings[part[0]], [rings[hole] for hole in part[1:]]) for part in parts
    ]
    assert shapely.union_all(polygons).symmetric_difference(expected).area == 0


@pytest.mark.parametrize("count", [1, 7])
def test_boxes_are_those_of_the_things(count):
    things = [thing(np.random.default_rng(n), n, 20) for n in range(count)]
    shapes = box_shapes(things)
    boxes = [(each.box.y0, each.box.x0, each.box.y1, each.box.x1) for each in things]
    assert shapes.bounds().tolist() == [list(box) for box in boxes]
    assert np.diff(shapes.vertex_starts()).tolist() == [4] * count
