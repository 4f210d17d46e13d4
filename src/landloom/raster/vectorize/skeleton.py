"""Centre lines of areas, for roads and other networks.

An area is thinned to lines one pixel wide (Guo and Hall, "Parallel thinning with two-subiteration
algorithms", Communications of the ACM 32, 1989, algorithm A1), and the lines between their ends and
junctions become line strings through pixel centres. Nothing that touches falls apart, if only at
corners, nothing vanishes and no hole is opened or closed, whatever way a road runs. It is done on
whole areas, so tiles leave no mark; memory is two bytes a pixel of the window round the area, one
to draw it (in a file beyond `drawing.LARGEST_IN_MEMORY`) and one to trace it (always in memory),
and 8 bytes a pixel of the area itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel
from landloom.raster.vectorize.batch import Batch
from landloom.raster.vectorize.drawing import drawn, window_of
from landloom.raster.vectorize.hilbert import curve_order, hilbert_index
from landloom.raster.vectorize.shapes import Shapes


def centre_lines(
    batch: Batch, shape_yx: tuple[int, int], tolerance: float, ground: NDArray[np.float64]
) -> Batch:
    """Return the centre lines of each area as rows, with what its columns say.

    Args:
        batch: Areas.
        shape_yx: Of the raster.
        tolerance: Metres that a line may leave the pixels it goes through.
        ground: (2,): metres that a pixel is high and wide.

    Returns:
        Lines, in half pixels of the array: the centre of the first pixel is at (1, 1). An area of
        which one pixel is left has none.
    """
    vertices = [np.empty((0, 2), np.int32)]
    lengths = [np.empty(0, np.int64)]
    parents = [np.empty(0, np.int64)]
    for shape in range(len(batch)):
        window = window_of(batch.shapes, shape)
        mask = drawn(batch.shapes, shape, window)
        thin(mask)
        points, starts = _trace(mask)
        points, starts = _simplified(points, starts, tolerance, ground)
        vertices.append(2 * (points + np.array([window.y0 - 1, window.x0 - 1], np.int32)) + 1)
        lengths.append(np.diff(starts))
        parents.append(np.full(len(starts) - 1, shape))
    return _rows(
        batch, np.concatenate(vertices), np.concatenate(lengths), np.concatenate(parents), shape_yx
    )


def _rows(
    batch: Batch,
    vertices: NDArray[np.int32],
    lengths: NDArray[np.int64],
    parent: NDArray[np.int64],
    shape_yx: tuple[int, int],
) -> Batch:
    """Put lines in the order of the curve; those at one place stay as they were found."""
    count = np.arange(len(lengths) + 1)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    lines = Shapes(vertices, starts, count, count)
    bounds = lines.bounds().astype(np.int64) // 2
    places = hilbert_index(
        np.ascontiguousarray((bounds[:, 0] + bounds[:, 2]) // 2),
        np.ascontiguousarray((bounds[:, 1] + bounds[:, 3]) // 2),
        curve_order(shape_yx),
    )
    columns = {name: column[parent] for name, column in batch.columns.items()}
    return Batch(lines, places, columns).taken(np.argsort(places, kind="stable"))


def thin(mask: NDArray[np.uint8]) -> None:
    """Thin a mask with a frame of zeros in place until every line is a pixel wide."""
    pending = np.flatnonzero(mask.ravel())
    while True:
        before = len(pending)
        for goes in GOES:
            pending = _thinned(mask.reshape(-1), mask.shape[1], pending, goes)
        if len(pending) == before:
            return


def _goes(around: int, *, second: bool) -> bool:
    """Tell whether a pixel may be deleted, as the paper says it of algorithm A1.

    It may if its neighbours are one 8-connected piece, so that they hang together without it; if
    it is no end of a line, which pairs of neighbours tell better than single ones where the line is
    two pixels wide; and if it lies on the north-eastern side, or in the second sub-iteration on the
    south-western: a line two pixels wide loses one side only.

    Args:
        around: Its neighbours as bits: N, NE, E, SE, S, SW, W, NW from the lowest on.
        second: Which of the two sub-iterations.
    """
    p = [bool(around >> bit & 1) for bit in range(8)]
    pieces = sum(not p[at] and (p[at + 1] or p[(at + 2) % 8]) for at in (0, 2, 4, 6))
    pairs = min(
        sum(p[at - 1] or p[at] for at in (0, 2, 4, 6)),
        sum(p[at] or p[at + 1] for at in (0, 2, 4, 6)),
    )
    n, ne, e, se, s, sw, w, nw = p
    stays = (s or sw or not nw) and w if second else (n or ne or not se) and e
    return pieces == 1 and 2 <= pairs <= 3 and not stays  # noqa: PLR2004 - the paper's conditions


GOES = tuple(
    np.array([_goes(around, second=second) for around in range(256)]) for second in (False, True)
)
"""`_goes` of all neighbourhoods, for either sub-iteration."""


@kernel
def _thinned(
    mask: NDArray[np.uint8],
    width: int,
    pending: NDArray[np.int64],
    table: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Delete the pixels that may go at once, and return those that stay."""
    goes = np.zeros(pending.size, np.bool_)
    for index in range(pending.size):
        at = pending[index]
        north, south = at - width, at + width
        around = mask[north] | mask[north + 1] << 1 | mask[at + 1] << 2 | mask[south + 1] << 3
        around |= mask[south] << 4 | mask[south - 1] << 5 | mask[at - 1] << 6 | mask[north - 1] << 7
        goes[index] = table[around]
    for index in range(pending.size):
        if goes[index]:
            mask[pending[index]] = 0
    return pending[~goes]


@kernel
def _neighbours(mask: NDArray[np.uint8], y: int, x: int) -> int:
    """Return which neighbours a line goes on to, as bits.

    Bits 0 to 3 are N, E, S, W; 4 to 7 NE, SE, SW, NW, which count only if neither of the two pixels
    between is of the line: so a bend is no junction.
    """
    n, e, s, w = mask[y - 1, x], mask[y, x + 1], mask[y + 1, x], mask[y, x - 1]
    bits = np.int64(n) + 2 * np.int64(e) + 4 * np.int64(s) + 8 * np.int64(w)
    if not n and not e and mask[y - 1, x + 1]:
        bits |= 16
    if not s and not e and mask[y + 1, x + 1]:
        bits |= 32
    if not s and not w and mask[y + 1, x - 1]:
        bits |= 64
    if not n and not w and mask[y - 1, x - 1]:
        bits |= 128
    return int(bits)


@kernel
def _count(bits: int) -> int:
    total = 0
    while bits:
        total += bits & 1
        bits >>= 1
    return total


STEP_Y = (-1, 0, 1, 0, -1, 1, 1, -1)
STEP_X = (0, 1, 0, -1, 1, 1, -1, -1)
"""Where the neighbour of each bit of `_neighbours` lies."""

OPPOSITE = (2, 3, 0, 1, 6, 7, 4, 5)
"""The bit by which a neighbour sees a pixel."""


@kernel
def _trace(mask: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Follow the lines of a thinned mask from end or junction to the next, then closed ones."""
    pixels, ends = _sizes(mask)
    points = np.empty((2 * pixels + ends + 2, 2), np.int32)
    starts = np.zeros(pixels + ends + 1, np.int64)
    walked = np.zeros(mask.shape, np.uint8)
    lines = 0
    for closed in (False, True):
        for y in range(1, mask.shape[0] - 1):
            for x in range(1, mask.shape[1] - 1):
                if mask[y, x] and (_count(_neighbours(mask, y, x)) == 2) == closed:  # noqa: PLR2004
                    lines = _lines_from(mask, walked, points, starts, lines, y, x, closed)
    return points[: starts[lines]].copy(), starts[: lines + 1].copy()


@kernel
def _sizes(mask: NDArray[np.uint8]) -> tuple[int, int]:
    """Return how many pixels there are, and how many lines meet at ends and junctions."""
    pixels, ends = 0, 0
    for y in range(1, mask.shape[0] - 1):
        for x in range(1, mask.shape[1] - 1):
            if mask[y, x]:
                pixels += 1
                degree = _count(_neighbours(mask, y, x))
                ends += degree if degree != 2 else 0  # noqa: PLR2004
    return pixels, ends


@kernel
def _lines_from(
    mask: NDArray[np.uint8],
    walked: NDArray[np.uint8],
    points: NDArray[np.int32],
    starts: NDArray[np.int64],
    lines: int,
    y: int,
    x: int,
    closed: bool,  # noqa: FBT001 - a kernel's argument
) -> int:
    """Add the lines that leave a pixel and were not walked; return how many there are now."""
    bits = _neighbours(mask, y, x)
    for bit in range(8):
        if not (bits >> bit) & 1 or (walked[y, x] >> bit) & 1 or (closed and walked[y, x]):
            continue
        used = _follow(mask, walked, points, starts[lines], y, x, bit)
        lines += 1
        starts[lines] = used
    return lines


@kernel
def _follow(
    mask: NDArray[np.uint8],
    walked: NDArray[np.uint8],
    points: NDArray[np.int32],
    used: int,
    y: int,
    x: int,
    bit: int,
) -> int:
    first_y, first_x = y, x
    points[used, 0], points[used, 1] = y, x
    used += 1
    while True:
        walked[y, x] |= np.uint8(1 << bit)
        y, x = y + STEP_Y[bit], x + STEP_X[bit]
        back = OPPOSITE[bit]
        walked[y, x] |= np.uint8(1 << back)
        points[used, 0], points[used, 1] = y, x
        used += 1
        bits = _neighbours(mask, y, x)
        if _count(bits) != 2 or (y == first_y and x == first_x):  # noqa: PLR2004
            return used
        rest = bits & ~(1 << back)
        bit = 0
        while not (rest >> bit) & 1:
            bit += 1


@kernel
def _simplified(
    points: NDArray[np.int32],
    starts: NDArray[np.int64],
    tolerance: float,
    ground: NDArray[np.float64],
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Drop points (Douglas and Peucker, 1973); with no tolerance those on straight lines only."""
    stays = np.zeros(points.shape[0], np.bool_)
    for line in range(starts.size - 1):
        pending = [(starts[line], starts[line + 1] - 1)]
        while len(pending) > 0:
            begin, end = pending.pop()
            stays[begin] = stays[end] = True
            ay, ax = points[begin, 0] * ground[0], points[begin, 1] * ground[1]
            dy, dx = points[end, 0] * ground[0] - ay, points[end, 1] * ground[1] - ax
            square = dy * dy + dx * dx
            # A closed line keeps its furthest point, or nothing would be left of a small one.
            best, best_distance = begin, tolerance * tolerance + 1e-9 if square > 0 else 0.0
            for place in range(begin + 1, end):
                py, px = points[place, 0] * ground[0] - ay, points[place, 1] * ground[1] - ax
                along = 0.0 if square == 0 else min(1.0, max(0.0, (py * dy + px * dx) / square))
                distance = (py - along * dy) ** 2 + (px - along * dx) ** 2
                if distance > best_distance:
                    best, best_distance = place, distance
            if best > begin:
                pending.append((begin, best))
                pending.append((best, end))
    kept = np.zeros(starts.size, np.int64)
    out = np.empty((points.shape[0], 2), np.int32)
    used = 0
    for line in range(starts.size - 1):
        for place in range(starts[line], starts[line + 1]):
            if stays[place]:
                out[used, 0], out[used, 1] = points[place, 0], points[place, 1]
                used += 1
        kept[line + 1] = used
    return out[:used].copy(), kept
