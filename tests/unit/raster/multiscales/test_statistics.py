"""Statistics of a band, put together from pieces."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.engine.tolerances import STATISTICS_RELATIVE

from landloom.raster.multiscales.statistics import BINS, SHOWN_BINS, BandSketch

FLOATS = st.one_of(
    st.floats(width=32, allow_subnormal=False),
    st.floats(-3, 12_000, width=32),
    st.integers(0, 255).map(float),
)
PIXELS = hnp.arrays(np.float32, st.integers(0, 60), elements=FLOATS)


def exactly(sketch):
    """What does not depend on the order of merging, bit by bit."""
    counts = sketch.counts.tolist()
    return sketch.count, sketch.minimum, sketch.maximum, sketch.exponent, sketch.first, counts


@settings(max_examples=80, deadline=None)
@given(st.lists(PIXELS, min_size=1, max_size=4))
def test_pieces_in_any_order_give_what_the_whole_gives(pieces):
    whole = BandSketch.of(np.concatenate(pieces))
    for order in (pieces, pieces[::-1]):
        merged = BandSketch()
        for piece in order:
            merged = merged.merged(BandSketch.of(piece))
        assert exactly(merged) == exactly(whole)


@settings(max_examples=80, deadline=None)
@given(PIXELS)
def test_bins_hold_every_finite_value_once(pixels):
    sketch = BandSketch.of(pixels)
    finite = pixels[np.isfinite(pixels)].astype(np.float64)
    assert sketch.count == len(finite) == int(sketch.counts.sum())
    assert len(sketch.counts) <= BINS
    document = sketch.document()
    if not len(finite):
        assert document == {"count": 0}
        return
    edges = document["histogram"]["bin_edges"]
    assert len(edges) <= SHOWN_BINS + 1
    counted = [np.count_nonzero((finite >= low) & (finite < high)) for low, high in pairwise(edges)]
    assert counted == document["histogram"]["counts"]
    assert (document["minimum"], document["maximum"]) == (finite.min(), finite.max())


@pytest.fixture(scope="module", params=["reflectance", "bytes", "probability"])
def pixels(request):
    rng = np.random.default_rng(3)
    if request.param == "reflectance":
        values = rng.gamma(3, 400, (300, 300)).astype(np.float32).round()
    elif request.param == "bytes":
        values = rng.integers(1, 256, (300, 300)).astype(np.float32)
    else:
        values = rng.beta(0.3, 0.6, (300, 300)).astype(np.float32)
    values[:40] = np.nan
    return values


class TestImagery:
    def test_moments_and_percentiles_equal_numpy(self, pixels):
        whole = BandSketch.of(pixels)
        halves = BandSketch.of(pixels[:150]).merged(BandSketch.of(pixels[150:]))
        values = pixels[np.isfinite(pixels)].astype(np.float64)
        one_bin = 2 * (values.max() - values.min()) / BINS
        for document in (whole.document(), halves.document()):
            assert document["mean"] == pytest.approx(values.mean(), rel=STATISTICS_RELATIVE)
            assert document["stddev"] == pytest.approx(values.std(), rel=STATISTICS_RELATIVE)
            limits = np.percentile(values, [2, 98])
            assert list(document["percentiles"].values()) == pytest.approx(limits, abs=one_bin)

    def test_goes_through_json(self, pixels):
        sketch = BandSketch.of(pixels)
        there = BandSketch.from_json(json.loads(json.dumps(sketch.to_json())))
        assert exactly(there) == exactly(sketch)
        assert there.document() == sketch.document()


def test_nothing_is_known_of_no_values():
    assert BandSketch.from_json(BandSketch().to_json()).document() == {"count": 0}
    assert BandSketch.of(np.full((3, 3), np.nan, np.float32)).document() == {"count": 0}


def test_one_value_has_one_bin():
    document = BandSketch.of(np.full(7, 300, np.float32)).document()
    assert document["percentiles"] == {"2": 300.0, "98": 300.0}
    assert document["histogram"]["counts"] == [7]
