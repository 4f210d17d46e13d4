"""The scenes of a tile: never one too few, wherever on the Earth the grid lies."""

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from landloom.raster.antimeridian import mended
from landloom.raster.grid import tiles
from landloom.raster.mosaic.choice import Choice

GRIDS = {
    "UTM": GeoBox((700, 900), Affine(1000, 0, 100_000, 0, -1000, 5_900_000), "EPSG:32633"),
    "southern UTM": GeoBox((300, 400), Affine(1000, 0, 200_000, 0, -1000, 8e6), "EPSG:32733"),
    "antimeridian UTM": GeoBox((500, 500), Affine(1000, 0, 600_000, 0, -1000, 8e6), "EPSG:32660"),
    "Mercator": GeoBox((900, 900), Affine(2000, 0, 1e6, 0, -2000, 7e6), "EPSG:3857"),
    "North Pole": GeoBox((800, 800), Affine(2500, 0, -1e6, 0, -2500, 1e6), "EPSG:3413"),
    "degrees": GeoBox((500, 500), Affine(0.01, 0, 174.0, 0, -0.01, 70.0), "EPSG:4326"),
    "coarse": GeoBox((90, 90), Affine(30_000, 0, -1.3e6, 0, -30_000, 3e6), "EPSG:3035"),
}
SIZE = 64


@pytest.mark.parametrize("name", GRIDS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_whatever_has_a_pixel_in_a_tile_is_chosen(name, seed):
    geobox, rng = GRIDS[name], np.random.default_rng(seed)
    corners = _squares(geobox, rng)
    to_degrees = Transformer.from_crs(geobox.crs.proj, "EPSG:4326", always_xy=True)
    outlines = [
        mended(shapely.Polygon(np.column_stack(to_degrees.transform(*square.T))))
        for square in corners
    ]
    rows = list(Choice(geobox, SIZE, outlines).rows())
    left_out = 0
    for tile in tiles(tuple(geobox.shape), SIZE):
        y0, x0, y1, x1 = (
            tile.window.y0,
            tile.window.x0,
            tile.window.y1,
            tile.window.x1,
        )
        place = shapely.box(*(geobox.affine @ (x0, y1)), *(geobox.affine @ (x1, y0)))
        chosen = set(rows[tile.iy][tile.ix].tolist())
        for number, square in enumerate(corners):
            if number not in chosen:
                left_out += 1
                assert not shapely.intersects(place, shapely.Polygon(square)), (tile, number)
    if name not in {"North Pole", "coarse"}:  # their few tiles may all be near every scene
        assert left_out  # a choice that takes all would pass too


def test_numbers_ascend_and_no_scene_is_named_twice():
    geobox = GRIDS["antimeridian UTM"]
    everywhere = mended(shapely.box(165, 55, 200, 85))
    rows = list(Choice(geobox, SIZE, [everywhere] * 5).rows())
    assert all(numbers.tolist() == [0, 1, 2, 3, 4] for row in rows for numbers in row)


def test_without_scenes_there_is_nothing_to_choose():
    rows = list(Choice(GRIDS["UTM"], SIZE, []).rows())
    assert all(len(numbers) == 0 for row in rows for numbers in row)


def _squares(geobox, rng):
    """Return the corners of scenes as large as a tile, somewhere on and around a grid."""
    height, width = geobox.shape
    edge = np.linspace(0, 1, 8, endpoint=False)
    ring = np.concatenate(
        [
            np.column_stack([edge, 0 * edge]),
            np.column_stack([0 * edge + 1, edge]),
            np.column_stack([1 - edge, 0 * edge + 1]),
            np.column_stack([0 * edge, 1 - edge]),
        ]
    )
    found = []
    for _ in range(12):
        pixels = ring * SIZE + rng.uniform(-SIZE, [width, height])
        found.append(np.column_stack(geobox.affine @ tuple(pixels.T)))
    return found
