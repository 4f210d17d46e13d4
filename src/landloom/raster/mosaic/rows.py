"""Rows of values: which are wanted, which are there, and what becomes of all scenes' values.

Each step is a plain loop over a row, which the compiler turns into vector code. Whatever may be
stored is loaded first: conditional loads would keep it from that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel

OFFSET, LEAST, MOST = 1, 2, 3
"""Columns of a source's values; see `composite`."""


@kernel
def wanted_row(
    keep: NDArray[np.uint8],
    bit: np.uint8,
    known: NDArray[np.uint16],
    unknown_only: bool,  # noqa: FBT001 - as above
    good: NDArray[np.uint8],
) -> np.uint8:
    """Fill `good` with 1 where a source is to be looked at; return whether there is any."""
    some = np.uint8(0)
    if unknown_only:
        for x in range(len(good)):
            wanted = ((keep[x] & bit) != 0) & (known[x] == 0)
            good[x] = np.uint8(1) if wanted else np.uint8(0)
            some |= good[x]
        return some
    for x in range(len(good)):
        good[x] = np.uint8(1) if (keep[x] & bit) != 0 else np.uint8(0)
        some |= good[x]
    return some


@kernel
def copy_row(
    part: NDArray[Any],
    row: int,
    first: int,
    height: int,
    width: int,
    good: NDArray[np.uint8],
    target: NDArray[Any],
) -> None:
    """Copy one row of a source on the output's lattice; clear `good` where it does not reach."""
    length = len(target)
    low, high = min(max(first, 0), length), min(max(first + width, 0), length)
    if row < 0 or row >= height:
        high = low
    for x in range(low):
        good[x] = 0
    for x in range(high, length):
        good[x] = 0
    if high > low:
        begin = row * width + low - first
        source, place = part[begin : begin + high - low], target[low:high]
        for x in range(high - low):
            place[x] = source[x]


@kernel
def take_row(
    part: NDArray[Any],
    missing: Any,
    keep: NDArray[np.uint8],
    bit: np.uint8,
    ends: NDArray[Any],
    turn: int,
    known: NDArray[np.uint16],
    row: NDArray[Any],
) -> None:
    """Take a row that lies wholly in a source on the output's lattice, in one pass.

    It does at once what `wanted_row`, `copy_row`, `drop_missing` and `settle_row` do one by one.

    Args:
        part: The source's pixels, from the row's first on.
        missing: Value of pixels without data, of the type of `part`.
        keep: Bits of the sources that may be looked at, (x).
        bit: This source's.
        ends: What stands for no value, see `median.stand_in`.
        turn: How many sources came before.
        known: Counts values, (x).
        row: Filled, (x).
    """
    source, least, most = part[: len(row)], ends[0], ends[1]
    odd, one = np.uint16(turn & 1), np.uint16(1)
    for x in range(len(row)):
        value, wanted, count = source[x], keep[x] & bit, known[x]
        there = (wanted != 0) & (value != missing) & (value == value)  # noqa: PLR0124 - NaN
        none = most if np.uint16(count & one) == odd else least
        row[x] = value if there else none
        known[x] = np.uint16(count + np.uint16(there))


@kernel
def drop_missing(missing: float, good: NDArray[np.uint8], row: NDArray[Any]) -> None:
    """Clear `good` where `row` holds the value of pixels without data, or NaN."""
    if missing == missing:  # noqa: PLR0124 - NaN
        # Compared in the row's own type, which makes the vectors twice as dense.
        value = row.dtype.type(missing)
        for x in range(len(row)):
            here, state = row[x], good[x]
            good[x] = state if here != value else np.uint8(0)
    for x in range(len(row)):
        here, state = row[x], good[x]
        good[x] = state if here == here else np.uint8(0)  # noqa: PLR0124 - NaN


@kernel
def shift_row(offset: float, row: NDArray[Any]) -> None:
    """Add a source's offset; the sum is clipped at 0."""
    if offset != 0.0:
        shift, zero = np.float32(offset), np.float32(0)
        for x in range(len(row)):
            row[x] = max(np.float32(row[x]) + shift, zero)


@kernel
def finish_row(exact: NDArray[np.float32], values: NDArray[np.float64], row: NDArray[Any]) -> None:
    """Round, cut to the source's range, add and clip interpolated values into `row`."""
    shift, least = np.float32(values[OFFSET]), np.float32(values[LEAST])
    most, zero, half = np.float32(values[MOST]), np.float32(0), np.float32(0.5)
    if most < np.float32(np.inf):
        for x in range(len(row)):
            exact[x] = min(max(np.floor(exact[x] + half), least), most)
    if shift != zero:
        for x in range(len(row)):
            exact[x] = max(exact[x] + shift, zero)
    for x in range(len(row)):
        row[x] = exact[x]


@kernel
def settle_row(
    good: NDArray[np.uint8],
    ends: NDArray[Any],
    turn: int,
    known: NDArray[np.uint16],
    row: NDArray[Any],
) -> None:
    """Count a source's values, and put one of `ends` where it has none; see `take_row`."""
    least, most, odd, one = ends[0], ends[1], np.uint16(turn & 1), np.uint16(1)
    for x in range(len(row)):
        value, state, count = row[x], good[x], known[x]
        none = most if np.uint16(count & one) == odd else least
        row[x] = value if state != 0 else none
        known[x] = np.uint16(count + state)


@kernel
def choose_row(
    good: NDArray[np.uint8],
    known: NDArray[np.uint16],
    row: NDArray[Any],
    chosen: NDArray[Any],
) -> None:
    """Count a source's values, and choose those of pixels that had none before."""
    for x in range(len(row)):
        value, before, state, count = row[x], chosen[x], good[x], known[x]
        chosen[x] = value if (state != 0) & (count == 0) else before
        known[x] = np.uint16(count + state)


@kernel
def clear_bits(good: NDArray[np.uint8], bit: np.uint8, valid: NDArray[np.uint8]) -> None:
    """Clear a source's bit where it has no value."""
    others = np.uint8(255 - bit)
    for x in range(len(valid)):
        state = good[x]
        valid[x] &= np.uint8(255) if state != 0 else others


@kernel
def set_bits(
    good: NDArray[np.uint8], classes: NDArray[Any], bit: np.uint8, target: NDArray[np.uint8]
) -> np.uint8:
    """Set a source's bit where it has a class that stays; return it if there is such a place."""
    some = np.uint8(0)
    for x in range(len(target)):
        state = bit if (good[x] != 0) & (classes[x] != 0) else np.uint8(0)
        target[x] |= state
        some |= state
    return some


@kernel
def gather_bits(
    packed: NDArray[np.uint8],
    index: NDArray[np.uint32],
    kind: NDArray[np.uint8],
    target: NDArray[np.uint8],
) -> np.uint8:
    """Set the bits of the pixels at `index` where `kind` is not OUTSIDE; return all of them."""
    some = np.uint8(0)
    for x in range(len(target)):
        state = packed[index[x]] if kind[x] != 0 else np.uint8(0)
        target[x] |= state
        some |= state
    return some


@kernel
def repeat_bits(above: NDArray[np.uint8], bits: np.uint8, target: NDArray[np.uint8]) -> None:
    """Set those of `bits` that the row above has."""
    for x in range(len(target)):
        target[x] |= above[x] & bits


@kernel
def cut_row(line: NDArray[Any], y: int, out: NDArray[Any]) -> None:
    """Copy a row into parts that stand side by side, (part, y, x)."""
    width = out.shape[2]
    for part in range(len(out)):
        source, target = line[part * width : (part + 1) * width], out[part, y]
        for x in range(width):
            target[x] = source[x]


@kernel
def note_filled(known: NDArray[np.uint16], filled: NDArray[np.bool_]) -> None:
    """Clear `filled` where nothing has a value."""
    for x in range(len(known)):
        filled[x] = filled[x] & (known[x] != 0)
