"""Which sightings are of one thing, and what stands for it."""

import numpy as np
import pytest
from scipy import ndimage
from tests.engine.polygons import fingerprints, geometries

from landloom.raster.geometries.merge import Merger, Thing, thing_of
from landloom.raster.geometries.model import Instance
from landloom.raster.geometries.outline import box_shapes, outline
from landloom.raster.geometries.sighting import PatchGround, Sighting, same_thing, sight
from landloom.raster.grid import Window
from landloom.raster.predict.lattice import PatchLattice
from landloom.raster.predict.plan import Planner

PLANNER = Planner(PatchLattice(32, 8, blended=True), (0, 0), 0, 0)
"""Reaches are 24 px wide, 16 px apart, and share 8 px with the next."""

SIDE = 200


def seen(key, mask: np.ndarray, score=0.9, number=0, box=None) -> Sighting:
    """What patch `key` makes of a mask (y, x) of the whole ground, by default with its bounds."""
    place = PLANNER.patch_window(key)
    reach = PLANNER.reach_window(key).clipped(Window(0, 0, SIDE, SIDE))
    ground = np.zeros((SIDE, SIDE), bool)
    ground[: mask.shape[0], : mask.shape[1]] = mask
    padded = np.pad(ground, 64)
    rows, columns = place.shifted(64, 64).slices()
    own = padded[rows, columns]
    if box is None:
        y, x = np.nonzero(own)
        box = (x.min(), y.min(), x.max() + 1, y.max() + 1)
    found = sight(
        PatchGround(
            key, place, reach, (reach.y0 > 0, reach.x0 > 0, True, True),
            np.ones(reach.shape_yx, bool),
        ),
        number, Instance(0, score, box, own),
    )  # fmt: skip
    assert found is not None
    return found


def rectangle(y0, x0, y1, x1) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def things(*sightings: Sighting) -> list[Thing]:
    merger = Merger(PLANNER)
    keys = sorted({(ky, kx) for ky in range(4) for kx in range(6)})
    found = []
    for key in keys:
        own = [each for each in sightings if each.key[0] == key]
        found += list(merger.add(key, own))
    return found + list(merger.finish())


def shared(first: Sighting, second: Sighting) -> Window:
    reaches = [PLANNER.reach_window(each.key[0]) for each in (first, second)]
    return reaches[0].clipped(reaches[1])


class TestSight:
    def test_keeps_what_lies_in_the_reach(self):
        found = seen((0, 0), rectangle(2, 3, 12, 40))
        assert found.window == Window(2, 3, 12, 20)
        assert found.cut
        np.testing.assert_array_equal(found.mask, np.ones((10, 17), bool))

    def test_the_edge_of_the_mosaic_cuts_nothing(self):
        assert not seen((0, 0), rectangle(0, 0, 10, 10)).cut

    def test_what_lies_beyond_the_reach_is_left_to_others(self):
        mask = np.zeros((32, 32), bool)
        mask[0, 30] = True
        ground = PatchGround(
            (1, 1), PLANNER.patch_window((1, 1)), PLANNER.reach_window((1, 1)), (True,) * 4,
            np.ones((24, 24), bool),
        )  # fmt: skip
        assert sight(ground, 0, Instance(0, 1.0, (30, 0, 31, 1), mask)) is None

    def test_a_box_on_pixel_edges_stays_there(self):
        found = seen((0, 0), rectangle(2, 3, 8, 9), box=(10.9999995, 9.9999995, 17.0000004, 16.0))
        assert found.box == Window(2, 3, 8, 9)

    def test_a_box_side_beyond_the_reach_is_that_of_the_mask(self):
        found = seen((0, 0), rectangle(0, 3, 12, 40), box=(11, -5, 32, 20.5))
        assert found.box == Window(0, 3, 13, 20)


class TestSameThing:
    def test_views_that_agree_by_half_are_one(self):
        one = seen((0, 0), rectangle(4, 13, 12, 19))
        other = seen((0, 1), rectangle(5, 13, 13, 19))
        assert same_thing(one, other, shared(one, other))

    def test_neighbours_are_two(self):
        one = seen((0, 0), rectangle(4, 13, 8, 19))
        other = seen((0, 1), rectangle(8, 13, 12, 19))
        assert not same_thing(one, other, shared(one, other))

    def test_a_small_thing_on_a_large_one_is_a_thing_of_its_own(self):
        large = seen((0, 0), rectangle(2, 3, 16, 19))
        small = seen((0, 1), rectangle(5, 14, 7, 16))
        assert not small.cut
        assert not same_thing(large, small, shared(large, small))

    def test_a_sliver_that_a_patch_cut_off_belongs_to_the_whole(self):
        whole = seen((0, 0), rectangle(4, 2, 12, 15))
        sliver = seen((0, 1), rectangle(5, 4, 8, 14))
        assert sliver.cut
        assert same_thing(whole, sliver, shared(whole, sliver))

    def test_parts_that_agree_join_what_is_connected_elsewhere(self):
        # Each patch joins other parts of the shared ground: only the small one is common.
        one = seen((0, 0), rectangle(0, 12, 6, 19) | rectangle(9, 12, 10, 19))
        other = seen((0, 1), rectangle(9, 12, 10, 19) | rectangle(13, 13, 19, 30))
        assert same_thing(one, other, shared(one, other))

    def test_without_common_ground_they_are_two(self):
        one = seen((0, 0), rectangle(4, 2, 8, 6))
        other = seen((0, 1), rectangle(4, 22, 8, 26))
        assert not same_thing(one, other, shared(one, other))


class TestThings:
    def test_the_best_whole_view_stands_for_all(self):
        worse = seen((0, 0), rectangle(4, 13, 12, 19), score=0.6)
        better = seen((0, 1), rectangle(5, 13, 12, 19), score=0.8)
        (found,) = things(worse, better)
        assert found.sightings == (better,)
        assert found.box == Window(5, 13, 12, 19)

    def test_of_equal_views_the_first_of_the_lattice_counts(self):
        first = seen((0, 0), rectangle(4, 13, 12, 19))
        second = seen((0, 1), rectangle(5, 13, 12, 19))
        assert things(second, first)[0].sightings == (first,)

    def test_a_thing_that_all_cut_is_the_union(self):
        mask = rectangle(3, 2, 6, 90)
        views = [seen((0, kx), mask, score=0.5 + kx / 10) for kx in range(5)]
        (found,) = things(*views)
        assert fingerprints(geometries(outline(found))) == [
            fingerprints(geometries(box_shapes([found])))[0]
        ]
        assert found.box == Window(3, 2, 6, 84)  # where the last reach ends
        assert found.score == pytest.approx(0.9)

    def test_a_small_view_does_not_stand_for_a_long_thing(self):
        mask = rectangle(3, 2, 6, 90)
        views = [seen((0, kx), mask) for kx in range(5)]
        piece = seen((0, 2), rectangle(3, 42, 6, 48), number=1)
        assert len(thing_of([*views, piece]).sightings) == 6

    def test_prompts_never_mix(self):
        one = seen((0, 0), rectangle(4, 13, 12, 19))
        other = seen((0, 1), rectangle(4, 13, 12, 19))
        twin = Sighting(other.key, 1, *(getattr(other, name) for name in (
            "score", "window", "bits", "box", "cut"
        )))  # fmt: skip
        assert len(things(one, twin)) == 2

    def test_what_no_later_patch_can_reach_is_given_at_once(self):
        merger = Merger(PLANNER)
        done = list(merger.add((0, 0), [seen((0, 0), rectangle(2, 2, 5, 5))]))
        assert done == []
        done += list(merger.add((1, 0), []))
        assert done == []
        assert len(list(merger.add((2, 0), []))) == 1


class TestOutline:
    @pytest.mark.parametrize("tile_size", [7, 64])
    def test_of_a_large_thing_is_the_same_by_tiles(self, tile_size):
        noise = np.random.default_rng(3).random((90, 100))
        mask = ndimage.gaussian_filter(noise, 2) > 0.5
        views = [seen((ky, kx), mask) for ky in range(4) for kx in range(6)]
        thing = Thing(0, 1.0, tuple(views), Window(0, 0, 90, 100))
        at_once, by_tiles = outline(thing), outline(thing, tile_size)
        np.testing.assert_array_equal(at_once.vertices, by_tiles.vertices)
        np.testing.assert_array_equal(at_once.part_starts, by_tiles.part_starts)
        assert len(by_tiles) == 1
