"""The median equals numpy's, whatever is missing."""

import warnings
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landloom.raster.mosaic.composite import drop_missing, median, sorting_network


@pytest.mark.parametrize("count", range(1, 13))
def test_the_network_sorts_every_pattern_of_zeros_and_ones(count):
    # A network that sorts all of these sorts everything (the 0-1 principle).
    patterns = np.array(list(product((0, 1), repeat=count)))
    for low, high in sorting_network(count):
        assert low < high
        patterns[:, [low, high]] = np.sort(patterns[:, [low, high]], axis=1)
    assert (np.diff(patterns, axis=1) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 17), st.floats(0, 1), st.integers(0, 99))
def test_bit_equal_to_nanmedian(count, missing, seed):
    rng = np.random.default_rng(seed)
    stack = rng.integers(0, 10000, (count, 9, 23)).astype(np.float32)
    stack[rng.random(stack.shape) < missing] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = np.nanmedian(stack, axis=0) if count else np.full((9, 23), np.nan)
    np.testing.assert_array_equal(median(stack), expected)


def test_valid_is_cleared_where_there_is_no_value():
    valid = np.ones((1, 1, 3), np.uint8)
    drop_missing(np.array([[[1.0, np.nan, 0.0]]], np.float32), valid)
    assert valid.tolist() == [[[1, 0, 1]]]
