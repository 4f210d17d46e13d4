"""The pixel lattice: snapping, tiles, CRSs."""

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from landloom.errors import InvalidInput
from landloom.raster.grid import (
    METRES_PER_DEGREE,
    Window,
    geobox_for,
    lattice_origin,
    tile_count,
    tiles,
    utm_epsg,
)

HASKELL = shapely.box(-99.9, 33.0, -99.8, 33.1)


class TestGeoboxFor:
    @settings(max_examples=25, deadline=None)
    @given(
        lon=st.floats(-179, 178), lat=st.floats(-75, 75), width=st.floats(0, 0.5),
        epsg=st.sampled_from([None, 3857, 4326]),
    )  # fmt: skip
    def test_covers_the_geometry_and_lies_on_the_lattice(self, lon, lat, width, epsg):
        geometry = shapely.box(lon, lat, lon + width, lat + width / 2)
        geobox = geobox_for(geometry, epsg, 10)
        gy, gx = lattice_origin(geobox)
        pixel = geobox.affine.a
        assert geobox.affine.c == gx * pixel
        assert geobox.affine.f == -gy * pixel
        project = Transformer.from_crs(4326, geobox.crs.proj, always_xy=True).transform
        xs, ys = project(*_dense(geometry).T)
        box = geobox.boundingbox
        slack = pixel * 1e-3
        assert box.left - slack <= min(xs) < box.left + pixel + slack
        assert box.top + slack >= max(ys) > box.top - pixel - slack
        assert box.right + slack >= max(xs)
        assert box.bottom - slack <= min(ys)

    def test_a_place_smaller_than_a_pixel_gives_one_pixel(self):
        assert geobox_for(shapely.Point(-99.9, 33.0), 3857, 10).shape == (1, 1)

    def test_a_geographic_pixel_is_the_degrees_of_its_metres_on_the_equator(self):
        geobox = geobox_for(HASKELL, 4326, 10)
        assert geobox.affine.a == pytest.approx(8.98315e-05, rel=1e-6)
        assert geobox.affine.a == 10 / METRES_PER_DEGREE

    def test_the_native_crs_is_the_utm_zone(self):
        assert geobox_for(HASKELL, None, 10).crs.epsg == 32614

    def test_bounds_on_the_lattice_are_not_widened(self):
        to_degrees = Transformer.from_crs(32633, 4326, always_xy=True).transform
        corners = [(359130, 5348550), (364910, 5348550), (364910, 5352340), (359130, 5352340)]
        geometry = shapely.MultiPoint([to_degrees(*corner) for corner in corners])
        assert geobox_for(geometry, 32633, 10).shape == (379, 578)

    def test_an_unknown_crs_is_refused(self):
        with pytest.raises(InvalidInput, match="EPSG:99999"):
            geobox_for(HASKELL, 99999, 10)

    def test_a_place_the_crs_cannot_show_is_refused(self):
        with pytest.raises(InvalidInput, match="no place in EPSG:3857"):
            geobox_for(shapely.box(0, 80, 10, 90), 3857, 10)


@pytest.mark.parametrize(
    ("lon", "lat", "epsg"),
    [(13, 48, 32633), (-70, -33, 32719), (5, 60, 32632), (20, 78, 32633), (180, 10, 32601)],
)
def test_utm_zones_follow_mgrs(lon, lat, epsg):
    assert utm_epsg(shapely.Point(lon, lat)) == epsg


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(8, 128))
def test_tiles_cover_every_pixel_once(height, width, size):
    cut = list(tiles((height, width), size))
    assert len(cut) == tile_count((height, width), size)
    assert sum(t.window.shape_yx[0] * t.window.shape_yx[1] for t in cut) == height * width
    assert all(t.window.y0 == t.iy * size and t.window.x0 == t.ix * size for t in cut)


def test_windows_clip_and_shift():
    window = Window(2, 3, 10, 12)
    assert window.shifted(-2, 1) == Window(0, 4, 8, 13)
    assert window.clipped(Window(0, 0, 5, 5)) == Window(2, 3, 5, 5)
    assert window.clipped(Window(20, 20, 30, 30)).empty


def _dense(geometry):
    """Return points along the outline; GEOS refuses to cut an outline without length."""
    if geometry.length == 0:
        return shapely.get_coordinates(geometry)
    return shapely.get_coordinates(shapely.segmentize(geometry, geometry.length / 400))
