"""The median equals numpy's, whatever is missing."""

import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from landloom.raster.mosaic.composite import composite_window
from landloom.raster.mosaic.median import median_network
from landloom.raster.mosaic.resample import NEAREST
from landloom.raster.mosaic.tables import Tables, paired

NAN = np.float32(np.nan)


NO_FINER_NODES = np.zeros((1, 0, 0, 2), np.int64), np.zeros((2, 0))


def reduce(stack, missing=np.nan, *, last=False, counted=True, offsets=0.0, keep=None, none=NAN):
    """Composite a stack (scene, y, x) on its own grid; return (composite, bits of values)."""
    count, height, width = stack.shape
    kind = stack.dtype
    size = height * width
    bits = np.zeros((max(1, -(-count // 8)), height, width), np.uint8)
    for i in range(count):
        wanted = np.ones((height, width), bool) if keep is None else keep[i]
        bits[i // 8] |= np.where(wanted, 1 << i % 8, 0).astype(np.uint8)
    valid, filled = bits.copy(), np.ones((height, width), bool)
    table = np.array([(i * size, 0, i, 0, 0) for i in range(count)], np.int64).reshape(-1, 5)
    low, high = (-np.inf, np.inf) if kind.kind == "f" else (0, np.iinfo(kind).max)
    values = np.array(
        [(missing, offset, low, high) for offset in np.broadcast_to(offsets, count)]
    ).reshape(-1, 4)
    grids = np.array([[0, 0, height, width, height, width, 1]], np.int64)
    nodes = np.zeros((1, 1, 1))
    parts = 2 - width % 2
    out = np.empty((parts, height, width // parts), none.dtype)
    pixels = np.append(stack.ravel(), np.zeros(width + 4, kind))
    composite_window(
        paired(pixels, width), Tables(table, values, grids, nodes, nodes, (0, 0), *NO_FINER_NODES),
        (0, 0, height, width), NEAREST, last, counted, bits, valid, filled,
        median_network(count), np.array([low, high]).astype(kind), none, out,
    )  # fmt: skip
    if counted:
        np.testing.assert_array_equal(filled, np.bitwise_count(valid).sum(axis=0) > 0)
    return np.concatenate(list(out), axis=1), valid


class TestMedian:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 17), st.floats(0, 1), st.integers(0, 99))
    def test_bit_equal_to_nanmedian(self, count, missing, seed):
        rng = np.random.default_rng(seed)
        stack = rng.integers(0, 10000, (count, 9, 23)).astype(np.float32)
        stack[rng.random(stack.shape) < missing] = np.nan
        found, valid = reduce(stack)
        np.testing.assert_array_equal(found, _nanmedian(stack))
        for i in range(count):
            here = valid[i // 8] & np.uint8(1 << i % 8)
            np.testing.assert_array_equal(here != 0, ~np.isnan(stack[i]))

    @settings(max_examples=40, deadline=None)
    @given(
        st.integers(0, 17), st.floats(0, 1), st.integers(0, 99),
        st.sampled_from([np.uint8, np.uint16]), st.booleans(),
    )  # fmt: skip
    def test_integers_need_no_floats(self, count, hidden, seed, kind, counted):
        rng = np.random.default_rng(seed)
        # The greatest number, which also stands for "no value" while sorting, is a value like any.
        stack = rng.integers(0, np.iinfo(kind).max + 1, (count, 9, 70)).astype(kind)
        stack[rng.random(stack.shape) < 0.2] = 0
        stack[rng.random(stack.shape) < 0.1] = np.iinfo(kind).max
        keep = rng.random(stack.shape) >= hidden
        found, _ = reduce(stack, 0.0, keep=keep, counted=counted)
        expected = _nanmedian(np.where(keep & (stack != 0), stack, np.float32(np.nan)))
        np.testing.assert_array_equal(found, expected)

    def test_offsets_are_added_before_and_cut_at_0(self):
        stack = np.array([[[1500, 900]], [[700, 3000]]], np.uint16)
        found, _ = reduce(stack, offsets=[-1000.0, 0.0])
        assert found.tolist() == [[600, 1500]]


class TestLast:
    @settings(max_examples=30, deadline=None)
    @given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 99))
    def test_later_scenes_lie_on_top(self, count, missing, seed):
        rng = np.random.default_rng(seed)
        stack = rng.integers(1, 200, (count, 7, 40)).astype(np.uint8)
        stack[rng.random(stack.shape) < missing] = 0
        found, _ = reduce(stack, 0.0, last=True, none=np.uint8(0))
        expected = np.zeros(stack.shape[1:], np.uint8)
        for scene in stack:
            expected[scene != 0] = scene[scene != 0]
        np.testing.assert_array_equal(found, expected)


def test_bytes_are_rounded_and_a_value_is_never_0():
    stack = np.array([[[0, 10, 0]], [[0, 11, 1]]], np.uint8)
    found, _ = reduce(stack, none=np.uint8(0))
    assert found.tolist() == [[1, 11, 1]]


def _nanmedian(stack):
    if not len(stack):
        return np.full(stack.shape[1:], np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmedian(stack, axis=0)
