"""The network of the median: the two rows in the middle are those of the sorted rows."""

from itertools import product

import numpy as np
import pytest

from landloom.raster.mosaic.median import BOTH, FOUR, exchange_rows, median_network


@pytest.mark.parametrize("count", range(1, 14))
def test_the_middle_is_right_for_every_pattern_of_zeros_and_ones(count):
    # A network that is right for all of these is right for everything (the 0-1 principle).
    rows = np.array(list(product((0, 1), repeat=count)), np.uint8).T.copy()
    expected = np.sort(rows, axis=0)
    exchange_rows(median_network(count), rows)
    for place in {max(0, count // 2 - 1), count // 2}:
        np.testing.assert_array_equal(rows[place], expected[place])


def test_what_the_middle_does_not_depend_on_is_left_out():
    # Two groups of four, and then of nine exchanges that merge them only those before the middle.
    network = median_network(8)
    assert (network[:, 2] == FOUR).sum() == 2
    assert (network[:, 2] == BOTH).sum() == 1
    assert len(network) == 9
