"""The Hilbert curve passes every pixel once and steps to a neighbour each time."""

from __future__ import annotations

import numpy as np

from landloom.raster.vectorize.hilbert import CELL_BITS, curve_order, hilbert_index


class TestHilbertIndex:
    def test_visits_each_pixel_once_one_step_at_a_time(self) -> None:
        y, x = (axis.ravel() for axis in np.mgrid[:32, :32])
        places = hilbert_index(y, x, 5)
        assert sorted(places) == list(range(32 * 32))
        order = np.argsort(places)
        steps = np.abs(np.diff(y[order])) + np.abs(np.diff(x[order]))
        assert (steps == 1).all()

    def test_order_covers_the_raster(self) -> None:
        assert curve_order((10, 10)) == CELL_BITS
        assert curve_order((4096, 5000)) == 13
        assert curve_order((8191, 8192)) == 14
