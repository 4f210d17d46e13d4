"""Thinning: lines as long as the area, whatever way it runs, and as many as there were pieces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage import morphology

from landloom.raster.vectorize.skeleton import _trace, thin

CORNERS = np.ones((3, 3), int)
"""Pixels that touch at corners hang together."""


def thinned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    framed = np.pad(mask.astype(np.uint8), 1)
    thin(framed)
    found: NDArray[np.bool_] = framed[1:-1, 1:-1].astype(bool)
    return found


def traced_length(mask: NDArray[np.bool_]) -> float:
    """Return the length of all centre lines in pixels."""
    points, starts = _trace(np.pad(thinned(mask).astype(np.uint8), 1))
    lines = [points[begin:end] for begin, end in pairwise(starts)]
    return float(sum(np.hypot(*np.diff(line, axis=0).T).sum() for line in lines))


@st.composite
def masks(draw: st.DrawFn) -> NDArray[np.bool_]:
    """Noise, blobs and networks, up to the very edge."""
    shape = draw(st.integers(1, 40)), draw(st.integers(1, 50))
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    smooth = draw(st.sampled_from([0.0, 0.7, 1.5, 3.0]))
    noise = ndimage.gaussian_filter(rng.random(shape), smooth)
    found: NDArray[np.bool_] = noise > np.quantile(noise, draw(st.floats(0.05, 0.95)))
    return found


SQUARE = np.ones((2, 2), bool)
DIAGONAL = np.eye(12, dtype=bool) | np.eye(12, k=1, dtype=bool)
PLUS = np.array([[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]], bool)


class TestThin:
    @settings(max_examples=150, deadline=None)
    @given(masks())
    @example(SQUARE)
    @example(DIAGONAL)
    @example(DIAGONAL[:, ::-1])
    @example(PLUS)
    def test_every_piece_stays_one_piece_and_every_hole_a_hole(
        self, mask: NDArray[np.bool_]
    ) -> None:
        lines = thinned(mask)
        assert not (lines & ~mask).any()
        pieces, count = ndimage.label(mask, CORNERS)
        _, left = ndimage.label(lines, CORNERS)
        assert left == count
        assert set(np.unique(pieces[lines])) == set(range(1, count + 1))
        outside = [ndimage.label(~np.pad(each, 1))[1] for each in (mask, lines)]
        assert outside[0] == outside[1]

    @settings(max_examples=50, deadline=None)
    @given(masks())
    def test_what_is_thin_stays_as_it_is(self, mask: NDArray[np.bool_]) -> None:
        lines = thinned(mask)
        assert (thinned(lines) == lines).all()

    @settings(max_examples=50, deadline=None)
    @given(masks())
    @example(SQUARE)
    @example(DIAGONAL)
    @example(PLUS)
    def test_pixels_are_those_of_another_implementation(self, mask: NDArray[np.bool_]) -> None:
        assert (thinned(mask) == morphology.thin(mask)).all()

    def test_does_not_depend_on_what_lies_round_the_area(self) -> None:
        rng = np.random.default_rng(4)
        mask = ndimage.gaussian_filter(rng.random((30, 30)), 1.5) > 0.5
        for before in ((0, 0), (1, 0), (0, 1), (5, 3)):
            moved = np.pad(mask, [(each, 2) for each in before])
            assert (thinned(moved)[before[0] : -2, before[1] : -2] == thinned(mask)).all()


class TestLengths:
    SIDE, LONG = 160, 120

    @pytest.mark.parametrize("width", range(1, 7))
    @pytest.mark.parametrize("degrees", [0, 45, 90, 135])
    def test_of_a_road_are_its_own_whatever_way_it_runs(self, width: int, degrees: int) -> None:
        y, x = np.mgrid[: self.SIDE, : self.SIDE] - self.SIDE / 2
        sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
        along, across = x * cosine + y * sine, y * cosine - x * sine
        road = (abs(along) <= self.LONG / 2) & (across > -width / 2 + 0.01) & (across <= width / 2)
        assert traced_length(road) == pytest.approx(self.LONG, abs=width + 1)

    @pytest.mark.parametrize("width", range(1, 7))
    @pytest.mark.parametrize("mirrored", [False, True])
    def test_of_a_diagonal_band_with_so_many_pixels_a_row(
        self, width: int, *, mirrored: bool
    ) -> None:
        rows, columns = np.mgrid[:100, :110]
        band = (columns >= rows) & (columns < rows + width)
        length = traced_length(band[:, ::-1] if mirrored else band)
        assert length == pytest.approx(99 * np.sqrt(2), abs=width)
