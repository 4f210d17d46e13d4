"""Geometries where longitude jumps from 180 to -180."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from landloom.raster.antimeridian import enclosed, has_jump, mended, unwrapped, wrapped

WEST, EAST = shapely.box(179, -17, 180, -16), shapely.box(-180, -17, -179, -16)
ACROSS = shapely.union_all([WEST, EAST])


class TestWrapped:
    @pytest.mark.parametrize("turn", [-360, 0, 360])
    def test_longitudes_beyond_180_are_split_and_moved(self, turn):
        beyond = shapely.box(179 + turn, -17, 181 + turn, -16)
        assert wrapped(beyond).normalize() == ACROSS.normalize()

    def test_what_lies_within_is_left_as_it_is(self):
        whole = shapely.box(-180, -90, 180, 90)
        assert wrapped(whole) is whole

    @settings(max_examples=50, deadline=None)
    @given(st.floats(-179, 179), st.floats(-80, 80), st.floats(0.1, 60))
    def test_no_area_is_lost_or_made(self, lon, lat, width):
        shape = shapely.box(lon, lat, lon + width, lat + 5)
        assert wrapped(shape).area == pytest.approx(shape.area)


class TestUnwrapped:
    @settings(max_examples=50, deadline=None)
    @given(st.floats(121, 179.9), st.floats(0.2, 100))
    def test_is_the_way_back(self, lon, width):
        shape = shapely.box(lon, 0, lon + width, 1)
        assert unwrapped(wrapped(shape)).bounds == pytest.approx(shape.bounds)

    def test_islands_far_apart_stay_where_the_widest_gap_is_outside(self):
        states = shapely.MultiPolygon(
            [shapely.box(-160, 19, -155, 22), shapely.box(-125, 25, -67, 49)]
        )
        assert unwrapped(states) is states
        aleutians = shapely.union_all([states, shapely.box(172, 51, 180, 53)])
        assert unwrapped(aleutians).bounds == (172, 19, 293, 53)


class TestMended:
    def test_an_outline_that_jumps_goes_the_short_way(self):
        jumping = shapely.Polygon([(179, -17), (-179, -17), (-179, -16), (179, -16)])
        assert has_jump(jumping)
        assert mended(jumping).normalize() == ACROSS.normalize()

    def test_a_hole_on_the_other_side_of_the_jump_stays_a_hole(self):
        shell = [(178, -2), (-178, -2), (-178, 2), (178, 2)]
        hole = [(-179.5, -1), (-179, -1), (-179, 1), (-179.5, 1)]
        assert mended(shapely.Polygon(shell, [hole])).area == pytest.approx(4 * 4 - 0.5 * 2)

    @pytest.mark.parametrize("pole", [90, -90])
    @pytest.mark.parametrize("start", [0, 30, 170])
    def test_an_outline_once_round_the_earth_holds_its_pole(self, pole: int, start: int):
        lon = (np.arange(0, 360, 45) + start + 180) % 360 - 180
        ring = shapely.Polygon(np.column_stack([lon, np.full(8, pole * 0.8)]))
        hole = [(175, pole * 0.9), (-175, pole * 0.9), (-175, pole * 0.92), (175, pole * 0.92)]
        cap = mended(shapely.Polygon(ring.exterior, [hole]))
        assert cap.is_valid
        assert cap.area == pytest.approx(360 * 18 - 10 * 1.8)
        assert cap.covers(shapely.Point(13, pole))
        assert not cap.covers(shapely.Point(179, pole * 0.91))
        assert not has_jump(cap)

    def test_a_hole_may_hold_the_pole(self):
        lon = np.array([-135, -45, 45, 135])
        rings = [np.column_stack([lon, np.full(4, lat)]) for lat in (70, 80)]
        ring = mended(shapely.Polygon(rings[0], [rings[1]]))
        assert ring.area == pytest.approx(360 * 10)
        assert not ring.covers(shapely.Point(0, 85))

    def test_all_parts_of_a_collection_go_the_short_way(self):
        jumping = shapely.Polygon([(179, -17), (-179, -17), (-179, -16), (179, -16)])
        point = shapely.Point(0, 0)
        nested = shapely.GeometryCollection([point, shapely.MultiPolygon([jumping])])
        assert mended(nested).normalize() == shapely.union_all([ACROSS, point]).normalize()

    @pytest.mark.parametrize(
        "shape", [ACROSS, shapely.box(-180, -90, 180, 90), shapely.Point(180, 0)]
    )
    def test_an_outline_that_does_not_jump_is_left_as_it_is(self, shape):
        assert not has_jump(shape)
        assert mended(shape) is shape


class TestEnclosed:
    @pytest.mark.parametrize("pole", [90, -90])
    def test_an_outline_around_a_pole_holds_it(self, pole):
        lon = np.arange(0.0, 360.0, 10.0)
        cap = enclosed((lon + 180) % 360 - 180, np.full(36, pole * 0.9))
        assert cap.area == pytest.approx(360 * 9)
        assert cap.covers(shapely.Point(13, pole * 0.99))

    def test_an_outline_across_the_antimeridian_is_split(self):
        lon = np.array([179.0, -179.0, -179.0, 179.0])
        assert (
            enclosed(lon, np.array([-17.0, -17.0, -16.0, -16.0])).normalize() == ACROSS.normalize()
        )
