"""The median of each pixel's values, all pixels of a row at once.

Values are moved by a network of compare-exchanges (Batcher's odd-even merge, Knuth, TAOCP 3, 5.2.2
M) that runs over whole rows, so the compiler turns it into vector minima and maxima: an order of
magnitude faster than sorting pixel by pixel.

Where a source has no value the greatest number stands in for it, where the next one has none the
least, and so in turn. That leaves the median of the known values in the middle of all, however many
are known, so only the two rows in the middle need be right, and whatever of the network they do not
depend on is left out.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel

BOTH, LESS, GREATER, FOUR = 0, 1, 2, 3
"""What is kept of an exchange: whatever is looked at later. FOUR sorts four rows at once."""


@lru_cache(maxsize=64)
def median_network(count: int) -> NDArray[np.int64]:
    """Return steps (i, j, what), in order, that act on rows i and j, or from i to j for FOUR.

    Of `count` rows they bring those that belong to places count // 2 - 1 and count // 2 there.
    """
    fours = count // 4
    needed = {max(0, count // 2 - 1), count // 2}
    steps = []
    for span, low, high in reversed(_sorting_network(count)):
        if {low, high} & needed and (span >= 4 or low // 4 >= fours):  # noqa: PLR2004 - as FOUR
            what = BOTH if {low, high} <= needed else LESS if low in needed else GREATER
            steps.append((low, high, what))
            needed |= {low, high}
    steps += [(4 * four, 4 * four + 3, FOUR) for four in range(fours)]
    return np.array(steps[::-1], np.int64).reshape(-1, 3)


def _sorting_network(count: int) -> list[tuple[int, int, int]]:
    """Return the exchanges (span, i, j), i < j, that sort `count` values.

    After those of a span, runs of twice as many values are in order.
    """
    exchanges = []
    span = 1
    while span < count:
        step = span
        while step >= 1:
            for start in range(step % span, count - step, 2 * step):
                exchanges += [
                    (span, low, low + step)
                    for low in range(start, min(start + step, count - step))
                    if low // (2 * span) == (low + step) // (2 * span)
                ]
            step //= 2
        span *= 2
    return exchanges


@kernel
def stand_in(ends: NDArray[Any], turn: int, known: NDArray[np.uint16], row: NDArray[Any]) -> None:
    """Fill the row of a source that has no value at all.

    Args:
        ends: The least and the greatest number of the type.
        turn: How many sources came before.
        known: How many of them have a value, (x).
        row: Filled, (x): with the greatest number where an even count of the others has none.
    """
    least, most, odd, one = ends[0], ends[1], np.uint16(turn & 1), np.uint16(1)
    for x in range(len(row)):
        row[x] = most if np.uint16(known[x] & one) == odd else least


@kernel
def exchange_rows(network: NDArray[np.int64], rows: NDArray[Any]) -> None:
    """Bring what belongs into the two rows in the middle there."""
    for step in range(len(network)):
        first, last, what = network[step]
        low, high = rows[first], rows[last]
        if what == FOUR:
            _sort_four(low, rows[first + 1], rows[first + 2], high)
        elif what == LESS:
            for x in range(len(low)):
                low[x] = min(low[x], high[x])
        elif what == GREATER:
            for x in range(len(low)):
                high[x] = max(low[x], high[x])
        else:
            for x in range(len(low)):
                a, b = low[x], high[x]
                low[x], high[x] = min(a, b), max(a, b)


@kernel
def _sort_four(
    first: NDArray[Any], second: NDArray[Any], third: NDArray[Any], fourth: NDArray[Any]
) -> None:
    """Sort four rows by five exchanges between loading and storing."""
    for x in range(len(first)):
        a, b, c, d = first[x], second[x], third[x], fourth[x]
        a, b = min(a, b), max(a, b)
        c, d = min(c, d), max(c, d)
        a, c = min(a, c), max(a, c)
        b, d = min(b, d), max(b, d)
        first[x], second[x], third[x], fourth[x] = a, min(b, c), max(b, c), d


@kernel
def store_median(
    known: NDArray[np.uint16], rows: NDArray[Any], none: Any, out: NDArray[Any]
) -> None:
    """Store the mean of the two known values in the middle, or the one there; see `store_row`."""
    count = len(rows)
    if count == 0:
        out[:] = none
        return
    low, high = rows[max(0, count // 2 - 1)], rows[count // 2]
    if count % 2:
        store_row(known, high, low, none, out)
    else:
        store_row(known, low, high, none, out)


@kernel
def store_row(
    known: NDArray[np.uint16],
    single: NDArray[Any],
    other: NDArray[Any],
    none: Any,
    out: NDArray[Any],
) -> None:
    """Store `single` where an odd number is known, else the mean of it and `other`.

    It is `none` where nothing is known. Where that is 0 values are rounded, and one that is 0
    becomes 1.
    """
    half, one = np.float32(0.5), np.float32(1)
    for x in range(len(known)):
        count, value, second = known[x], single[x], other[x]
        odd = np.uint16(count & np.uint16(1)) != 0
        mean = (np.float32(value) + np.float32(value if odd else second)) * half
        if none == 0:
            mean = max(np.floor(mean + half), one)
        out[x] = mean if count else none
