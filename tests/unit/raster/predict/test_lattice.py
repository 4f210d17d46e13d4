"""Patches lie on one lattice; their weights sum to one at every pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from landloom.raster.predict.lattice import PatchLattice, mirrored

lattices = st.builds(
    lambda patch, clip, blended: PatchLattice(patch, min(clip, (patch - 1) // 2), blended),
    st.integers(8, 64),
    st.integers(0, 31),
    st.booleans(),
)


class TestPatchLattice:
    @given(lattices, st.integers(-500, 500), st.integers(1, 200))
    def test_finds_just_the_patches_with_a_say(
        self, lattice: PatchLattice, start: int, length: int
    ) -> None:
        end = start + length
        reaches = {index: lattice.reach(index) for index in range(-700, 900)}
        wanted = [index for index, (a, b) in reaches.items() if a < end and b > start]
        assert list(lattice.over(start, end)) == wanted

    @given(lattices, st.integers(-500, 500))
    def test_weights_sum_to_one_at_every_pixel(self, lattice: PatchLattice, pixel: int) -> None:
        weights = lattice.weights()
        total = sum(
            float(weights[pixel - lattice.first_pixel(index)])
            for index in lattice.over(pixel, pixel + 1)
        )
        assert abs(total - 1) < 1e-6

    @given(lattices)
    def test_weights_are_nothing_in_the_margin_only(self, lattice: PatchLattice) -> None:
        weights = lattice.weights()
        used = weights[lattice.margin : lattice.patch - lattice.margin]
        assert (used > 0).all()
        assert np.count_nonzero(weights) == len(used)

    def test_weights_fall_towards_the_edge(self) -> None:
        weights = PatchLattice(256, 32, blended=True).weights()
        assert (np.diff(weights[:128]) >= 0).all()
        np.testing.assert_array_equal(weights, weights[::-1])


class TestMirrored:
    def test_repeats_the_edge_pixel(self) -> None:
        assert mirrored(-3, 6, 4).tolist() == [2, 1, 0, 0, 1, 2, 3, 3, 2]

    def test_fills_any_window_from_a_single_pixel(self) -> None:
        assert set(mirrored(-20, 20, 1)) == {0}
