"""Two by two pixels become their mean."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.engine.overviews import halved

from landloom.raster.multiscales.halve import halve

VALUES = st.one_of(
    st.floats(-(2.0**20), 2.0**20, width=32), st.just(float("nan")), st.integers(0, 255).map(float)
)
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float32, SHAPES, elements=VALUES))
def test_equals_plain_numpy(pixels):
    np.testing.assert_array_equal(halve(pixels), halved(pixels))


def test_an_odd_edge_is_the_mean_of_what_is_there():
    pixels = np.array([[1, 3, 5], [5, 7, np.nan], [9, 11, np.nan]], np.float32)
    np.testing.assert_array_equal(halve(pixels), [[4, 5], [10, np.nan]])


def test_a_view_is_as_good_as_an_array():
    pixels = np.arange(64, dtype=np.float32).reshape(8, 8)[::2, 1::3]
    np.testing.assert_array_equal(halve(pixels), halved(pixels))
