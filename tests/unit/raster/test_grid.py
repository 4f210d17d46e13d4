"""The pixel lattice: snapping, tiles, CRSs."""

import geopandas as gpd
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer

from landloom.errors import InvalidInput
from landloom.raster.antimeridian import unwrapped, wrapped
from landloom.raster.aoi import read_aoi
from landloom.raster.grid import (
    METRES_PER_DEGREE,
    Window,
    footprint,
    geobox_for,
    lattice_origin,
    metres,
    native_epsg,
    snapped_geobox,
    tile_count,
    tiles,
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

    def test_feet_stay_feet(self):
        geobox = geobox_for(shapely.box(-99.9, 40, -99.89, 40.01), 2263, 3)
        assert geobox.affine.a == pytest.approx(3 / 0.3048006096)
        assert metres("EPSG:2263", geobox.affine.a) == pytest.approx(3)

    def test_the_published_global_grid_is_not_on_a_lattice_from_the_origin(self):
        """Holds the reason in METRES_PER_DEGREE: no constant would make the grids meet."""
        published = GeoBox(
            (8, 8), Affine(8.98311982e-05, 0, -180, 0, -8.98311982e-05, 83.748345), 4326
        )
        with pytest.raises(InvalidInput, match="not on the pixel lattice"):
            lattice_origin(published)

    def test_an_unknown_crs_is_refused(self):
        with pytest.raises(InvalidInput, match="EPSG:99999"):
            geobox_for(HASKELL, 99999, 10)

    @pytest.mark.parametrize(("epsg", "what"), [(4978, "Geocentric"), (5773, "Vertical")])
    def test_a_crs_without_a_plane_is_refused(self, epsg, what):
        with pytest.raises(InvalidInput, match=f"EPSG:{epsg} .*is no CRS of a plane.*{what}"):
            snapped_geobox(shapely.box(10, 47, 11, 48), f"EPSG:{epsg}", 10.0)

    def test_a_place_the_crs_cannot_show_is_refused(self):
        with pytest.raises(InvalidInput, match="no place in EPSG:3857"):
            geobox_for(shapely.box(0, 80, 10, 90), 3857, 10)


class TestDrawnAreas:
    """An area in a projected CRS, by way of a file, as every workflow reads it."""

    @staticmethod
    def grid(folder, shape, epsg, target, resolution):
        path = folder / "aoi.parquet"
        gpd.GeoDataFrame(geometry=[shape], crs=epsg).to_parquet(path)
        (row,) = read_aoi(str(path))
        return geobox_for(row.geometry, target, resolution, drawn=row.drawn)

    @pytest.mark.parametrize("target", [32633, None])
    def test_a_tile_of_mgrs_has_its_own_pixels(self, tmp_path, target):
        tile = shapely.box(300000, 4990240, 409800, 5100040)
        geobox = self.grid(tmp_path, tile, 32633, target, 10)
        assert tuple(geobox.shape) == (10980, 10980)
        assert tuple(geobox.boundingbox) == tile.bounds

    @pytest.mark.parametrize(
        ("epsg", "bounds", "resolution", "shape"),
        [
            (5070, (1999980, 1999980, 2500020, 2500020), 30, (16668, 16668)),
            (3031, (-20000, -20000, 20000, 20000), 100, (400, 400)),
            (3413, (0, -20000, 20000, 0), 100, (200, 200)),
            (3857, (1447150.3, 6106850, 1459990, 6119990), 10, (1314, 1284)),
        ],
    )
    def test_a_box_has_the_pixels_that_it_covers(self, tmp_path, epsg, bounds, resolution, shape):
        geobox = self.grid(tmp_path, shapely.box(*bounds), epsg, epsg, resolution)
        assert tuple(geobox.shape) == shape

    @pytest.mark.parametrize("epsg", [32632, 3035, 3857])
    def test_in_another_crs_it_is_the_smallest_grid_to_a_tenth_of_a_metre(self, tmp_path, epsg):
        tile = shapely.box(300000, 4990240, 409800, 5100040)
        geobox = self.grid(tmp_path, tile, 32633, epsg, 10)
        project = Transformer.from_crs(32633, epsg, always_xy=True).transform
        wanted = shapely.transform(shapely.segmentize(tile, 20), project, interleaved=False).bounds
        found, slack = geobox.boundingbox, 0.3  # of the projection, not the ground
        for side, edge, sign in zip(found, wanted, (1, 1, -1, -1), strict=True):
            assert -1e-3 <= sign * (edge - side) < 10 + slack

    def test_a_turn_round_the_earth_away_it_is_the_lattice_s_own_place(self, tmp_path):
        turn = 2 * 20037508.342789244
        box = shapely.box(1447150 + turn, 6106850, 1459990 + turn, 6119990)
        geobox = self.grid(tmp_path, box, 3857, 3857, 10)
        assert geobox.boundingbox.left == pytest.approx(1447150, abs=10)

    def test_across_the_antimeridian_web_mercator_is_still_refused(self, tmp_path):
        edge = 20037508.342789244
        with pytest.raises(InvalidInput, match="crosses the antimeridian"):
            self.grid(tmp_path, shapely.box(edge - 2000, 0, edge + 2000, 2000), 3857, 3857, 10)


class TestFarPlaces:
    ACROSS = wrapped(shapely.box(179.95, -17.02, 180.05, -17))

    @pytest.mark.parametrize("lon", [179.95, 179.9, 179.99])
    def test_across_the_antimeridian_the_utm_zone_goes_on(self, lon):
        whole = shapely.box(lon, -17.02, lon + 0.1, -17)
        geobox = geobox_for(wrapped(whole), None, 10)
        assert geobox.crs.epsg == (32760 if lon < 179.95 else 32701)
        assert tuple(geobox.shape) == pytest.approx((230, 1068), abs=16)
        outline = footprint(geobox)
        assert outline.bounds[0] == -180
        assert outline.bounds[2] == 180
        assert outline.area == pytest.approx(whole.area, rel=0.2)
        assert unwrapped(outline).buffer(1e-6).covers(whole)

    @pytest.mark.parametrize("epsg", [3857, 4326])
    def test_a_crs_that_ends_there_is_refused_with_the_way_out(self, epsg):
        with pytest.raises(InvalidInput, match=f"EPSG:{epsg} ends.*two rows"):
            geobox_for(self.ACROSS, epsg, 10)

    def test_a_crs_that_is_cut_elsewhere_holds_it(self):
        assert tuple(geobox_for(self.ACROSS, 3832, 10).shape) == pytest.approx((233, 1114), abs=2)

    @pytest.mark.parametrize("epsg", [None, 3857, 4326])
    def test_each_side_alone_is_held_by_any_crs(self, epsg):
        for side in shapely.get_parts(self.ACROSS):
            geobox = geobox_for(side, epsg, 10)
            assert footprint(geobox).buffer(1e-6).covers(side)

    def test_across_utm_zones_the_centre_chooses(self):
        geobox = geobox_for(shapely.box(11.5, 48, 12.9, 48.1), None, 10)
        assert geobox.crs.epsg == 32633
        assert geobox.affine.c < 500_000 - 3 * 111_320 * 0.66

    @pytest.mark.parametrize(("sign", "epsg"), [(1, 32661), (-1, 32761)])
    def test_around_a_pole_it_is_polar_stereographic(self, sign, epsg):
        cap = shapely.box(-180, min(sign * 89.5, sign * 90), 180, max(sign * 89.5, sign * 90))
        geobox = geobox_for(cap, None, 100)
        assert geobox.crs.epsg == epsg
        assert tuple(geobox.shape) == pytest.approx((1110, 1110), abs=4)
        assert footprint(geobox).buffer(1e-6).covers(cap)

    def test_south_of_the_equator_rows_count_from_it_too(self):
        place = shapely.box(-70.3, -33.5, -70.2, -33.4)
        geobox = geobox_for(place, None, 10)
        assert geobox.crs.epsg == 32719
        assert lattice_origin(geobox) == (-round(geobox.affine.f / 10), round(geobox.affine.c / 10))
        assert footprint(geobox).buffer(1e-6).covers(place)

    def test_the_american_datum_where_it_is_defined(self):
        assert native_epsg(shapely.Point(-116, 33), "NAD83") == 26911
        assert native_epsg(shapely.Point(13, 48), "NAD83") == 32633
        assert native_epsg(shapely.Point(-70, -33), "NAD83") == 32719


def test_a_grid_in_any_crs_by_its_wkt():
    wkt = CRS.from_epsg(26911).to_wkt().replace('ID["EPSG",26911]', "")
    geobox = snapped_geobox(shapely.box(-116.38, 32.97, -116.37, 32.98), wkt, 0.6)
    assert lattice_origin(geobox)[1] == round(geobox.affine.c / 0.6)


@pytest.mark.parametrize(
    ("lon", "lat", "epsg"),
    [(13, 48, 32633), (-70, -33, 32719), (5, 60, 32632), (20, 78, 32633), (180, 10, 32601)],
)
def test_utm_zones_follow_mgrs(lon, lat, epsg):
    assert native_epsg(shapely.Point(lon, lat)) == epsg


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
    if geometry.length < 1e-9:  # GEOS drops what is no longer than its own precision
        return shapely.get_coordinates(geometry)
    return shapely.get_coordinates(shapely.segmentize(geometry, geometry.length / 400))
