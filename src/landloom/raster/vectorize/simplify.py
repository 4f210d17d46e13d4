"""Choose the corners of a net of pixel edges that stay when it is simplified.

The net is cut into arcs at points where other than two edges meet and, so that an arc never reaches
further than its block, where it crosses the lines of a lattice of BLOCK px. Blocks are counted from
the origin of the CRS, so the choice knows nothing of tiles, and needs no more than one block.

Each arc is simplified by Douglas and Peucker (1973): it becomes one line if no corner is further
from that line than the tolerance, else it is cut at the furthest corner. One condition is added,
which keeps the topology (after de Berg, van Kreveld and Schirra, "Topologically correct
subdivision simplification using the bandwidth criterion", 1998): no point of the net, but for the
arc's own that are left out, may lie on the line or between it and the arc. Since all arcs are held
against the unsimplified net, and what stays is a part of it, no two of the new lines cross:
whichever order they are thought to be replaced in, a line that crossed another would need a point
in between.

Arcs with the same two ends would become one line and the area between them nothing: they keep their
furthest corner, and a closed arc keeps at least three.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel

BLOCK = 256
"""Pixels. Boundaries keep a corner where they cross such a line: hardly more than they would."""

TO_EAST, TO_SOUTH, KEPT = 1, 2, 4

NO_POINT, FIXED = -1, -2
"""In a block's index: not on the net; on it, and it stays. Else: the place in the arcs' list."""


@kernel
def keep_corners(
    points: NDArray[np.uint8],
    corner: NDArray[np.int64],
    tolerance: float,
    ground: NDArray[np.float64],
) -> None:
    """Mark the points of one block that stay.

    Args:
        points: (y + 1, x + 1): the net, see `linework`.
        corner: (2,): y, x of the block's first lattice point; it may lie outside.
        tolerance: Metres.
        ground: (2,): metres that a pixel is high and wide.
    """
    side = BLOCK + 1
    net = np.zeros((side + 2, side + 2), np.uint8)  # the edges of each point, with a frame
    if not _collect(points, corner, net):
        return
    index = np.full((side, side), NO_POINT, np.int32)
    _fix(net, index)
    for y in range(side):
        for x in range(side):
            if index[y, x] == FIXED and not _straight_on_border(net, y, x):
                points[corner[0] + y, corner[1] + x] |= KEPT
    arcs = np.empty((4 * side * side + 4, 2), np.int32)
    starts = np.zeros(2 * side * side + 1, np.int64)
    count = _arcs(net, index, arcs, starts)
    twins = _twins(arcs, starts, count)
    stays = np.zeros(starts[count], np.bool_)
    for arc in range(count):
        _simplify(
            arcs, starts[arc], starts[arc + 1] - 1, twins[arc], index, tolerance, ground, stays
        )
    for place in range(starts[count]):
        if stays[place]:
            points[corner[0] + arcs[place, 0], corner[1] + arcs[place, 1]] |= KEPT


EAST, SOUTH, WEST, NORTH = 1, 2, 4, 8
"""Bits of `net`: which edges leave a point."""


@kernel
def _collect(points: NDArray[np.uint8], corner: NDArray[np.int64], net: NDArray[np.uint8]) -> bool:
    """Fill `net` with the edges that leave each point of the block, also out of it."""
    height, width = points.shape
    anything = False
    for y in range(net.shape[0]):
        row = corner[0] + y - 1
        if row < 0 or row >= height:
            continue
        for x in range(net.shape[1]):
            column = corner[1] + x - 1
            if column < 0 or column >= width:
                continue
            edges = 0
            if points[row, column] & TO_EAST:
                edges |= EAST
            if points[row, column] & TO_SOUTH:
                edges |= SOUTH
            if column > 0 and points[row, column - 1] & TO_EAST:
                edges |= WEST
            if row > 0 and points[row - 1, column] & TO_SOUTH:
                edges |= NORTH
            net[y, x] = edges
            anything = anything or edges != 0
    return anything


@kernel
def _degree(edges: int) -> int:
    return (edges & 1) + ((edges >> 1) & 1) + ((edges >> 2) & 1) + ((edges >> 3) & 1)


@kernel
def _at_end(place: int, last: int) -> bool:
    return bool(place == 0 or place - last == 0)


@kernel
def _fix(net: NDArray[np.uint8], index: NDArray[np.int32]) -> None:
    """Mark the ends of arcs: where not two edges meet, and every point on the block's border."""
    last = index.shape[0] - 1
    for y in range(index.shape[0]):
        for x in range(index.shape[1]):
            edges = net[y + 1, x + 1]
            if edges == 0:
                continue
            on_border = _at_end(y, last) or _at_end(x, last)
            index[y, x] = FIXED if on_border or _degree(edges) != 2 else NO_POINT  # noqa: PLR2004


@kernel
def _straight_on_border(net: NDArray[np.uint8], y: int, x: int) -> bool:
    """Return whether a boundary runs straight along the block's border through a point."""
    edges, last = net[y + 1, x + 1], net.shape[0] - 3
    along_row = edges == (EAST | WEST) and _at_end(y, last)
    along_column = edges == (NORTH | SOUTH) and _at_end(x, last)
    return bool(along_row or along_column)


@kernel
def _moved(y: int, x: int, edge: int) -> tuple[int, int]:
    if edge == EAST:
        return y, x + 1
    if edge == SOUTH:
        return y + 1, x
    if edge == WEST:
        return y, x - 1
    return y - 1, x


@kernel
def _opposite(edge: int) -> int:
    return (edge << 2) & 15 if edge < WEST else edge >> 2


@kernel
def _leaves(y: int, x: int, edge: int, last: int) -> bool:
    """Return whether an edge lies on the block's border or beyond it."""
    to_y, to_x = _moved(y, x, edge)
    if to_y < 0 or to_x < 0 or to_y > last or to_x > last:
        return True
    along_row = y == to_y and _at_end(y, last)
    along_column = x == to_x and _at_end(x, last)
    return bool(along_row or along_column)


@kernel
def _arcs(
    net: NDArray[np.uint8],
    index: NDArray[np.int32],
    arcs: NDArray[np.int32],
    starts: NDArray[np.int64],
) -> int:
    """List the arcs inside the block, each once: from its smaller end, a loop from its smallest."""
    count = 0
    for y in range(index.shape[0]):
        for x in range(index.shape[1]):
            if index[y, x] == FIXED:
                count = _arcs_from(net, index, arcs, starts, count, y, x)
    for y in range(index.shape[0]):
        for x in range(index.shape[1]):
            if net[y + 1, x + 1] != 0 and index[y, x] == NO_POINT:
                index[y, x] = FIXED  # where the walk ends
                used = _walk(net, index, arcs, starts[count], y, x, EAST)
                for place in range(starts[count], used - 1):
                    index[arcs[place, 0], arcs[place, 1]] = place
                count += 1
                starts[count] = used
    return count


@kernel
def _arcs_from(
    net: NDArray[np.uint8],
    index: NDArray[np.int32],
    arcs: NDArray[np.int32],
    starts: NDArray[np.int64],
    count: int,
    y: int,
    x: int,
) -> int:
    """Add the arcs that leave an end of arcs forward; return how many there are now."""
    for bit in range(4):
        edge = 1 << bit
        if not net[y + 1, x + 1] & edge or _leaves(y, x, edge, index.shape[0] - 1):
            continue
        begin = starts[count]
        used = _walk(net, index, arcs, begin, y, x, edge)
        if _backward(arcs, begin, used - 1):
            continue
        for place in range(begin + 1, used - 1):
            index[arcs[place, 0], arcs[place, 1]] = place
        count += 1
        starts[count] = used
    return count


@kernel
def _walk(
    net: NDArray[np.uint8],
    index: NDArray[np.int32],
    arcs: NDArray[np.int32],
    used: int,
    y: int,
    x: int,
    edge: int,
) -> int:
    """Write the points from (y, x) along an edge to the next end of an arc; return their end."""
    arcs[used, 0], arcs[used, 1] = y, x
    used += 1
    while True:
        y, x = _moved(y, x, edge)
        arcs[used, 0], arcs[used, 1] = y, x
        used += 1
        if index[y, x] == FIXED:
            return used
        edge = net[y + 1, x + 1] & ~_opposite(edge)


@kernel
def _backward(arcs: NDArray[np.int32], first: int, last: int) -> bool:
    """Return whether an arc is the reverse of the one that is kept."""
    if arcs[first, 0] == arcs[last, 0] and arcs[first, 1] == arcs[last, 1]:
        first, last = first + 1, last - 1
    if arcs[first, 0] != arcs[last, 0]:
        return bool(arcs[first, 0] > arcs[last, 0])
    return bool(arcs[first, 1] > arcs[last, 1])


@kernel
def _twins(arcs: NDArray[np.int32], starts: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Return whether each arc shares both ends with another, or with the block's border."""
    side = BLOCK + 1
    keys = np.empty(count, np.int64)
    out = np.zeros(count, np.bool_)
    for arc in range(count):
        y0, x0 = arcs[starts[arc], 0], arcs[starts[arc], 1]
        y1, x1 = arcs[starts[arc + 1] - 1, 0], arcs[starts[arc + 1] - 1, 1]
        keys[arc] = ((y0 * side + x0) * side + y1) * side + x1
        on_row = y0 == y1 and _at_end(y0, BLOCK)
        on_column = x0 == x1 and _at_end(x0, BLOCK)
        out[arc] = on_row or on_column
    order = np.argsort(keys)
    for place in range(1, count):
        if keys[order[place]] == keys[order[place - 1]]:
            out[order[place]] = out[order[place - 1]] = True
    return out


@kernel
def _simplify(
    arcs: NDArray[np.int32],
    first: int,
    last: int,
    must_bend: bool,  # noqa: FBT001 - a kernel's argument
    index: NDArray[np.int32],
    tolerance: float,
    ground: NDArray[np.float64],
    stays: NDArray[np.bool_],
) -> None:
    """Mark the points of an arc that stay."""
    pending = [(first, last, must_bend)]
    if arcs[first, 0] == arcs[last, 0] and arcs[first, 1] == arcs[last, 1]:
        stays[first] = True
        middle, _ = _furthest(arcs, first, last, ground)
        stays[middle] = True
        _, near = _furthest(arcs, first, middle, ground)
        _, far = _furthest(arcs, middle, last, ground)
        third_near = near >= far
        pending = [(first, middle, third_near), (middle, last, not third_near)]
    while len(pending) > 0:
        begin, end, bend = pending.pop()
        if end - begin < 2:  # noqa: PLR2004 - nothing lies between
            continue
        middle, distance = _furthest(arcs, begin, end, ground)
        if distance == 0.0:
            bend = False
        if not bend and distance <= tolerance and _is_free(arcs, begin, end, index):
            continue
        if distance == 0.0:
            continue  # straight: its own points lie on it, and none else can
        stays[middle] = True
        pending.append((begin, middle, False))
        pending.append((middle, end, False))


@kernel
def _furthest(
    arcs: NDArray[np.int32], begin: int, end: int, ground: NDArray[np.float64]
) -> tuple[int, float]:
    """Return which point between two of an arc is furthest from the line between them, and how."""
    ay, ax = arcs[begin, 0] * ground[0], arcs[begin, 1] * ground[1]
    dy, dx = arcs[end, 0] * ground[0] - ay, arcs[end, 1] * ground[1] - ax
    square = dy * dy + dx * dx
    best, best_distance = begin, 0.0
    for place in range(begin + 1, end):
        py, px = arcs[place, 0] * ground[0] - ay, arcs[place, 1] * ground[1] - ax
        along = 0.0 if square == 0.0 else min(1.0, max(0.0, (py * dy + px * dx) / square))
        oy, ox = py - along * dy, px - along * dx
        distance = oy * oy + ox * ox
        if distance > best_distance + 1e-9:
            best, best_distance = place, distance
    return best, np.sqrt(best_distance)


@kernel
def _is_free(arcs: NDArray[np.int32], begin: int, end: int, index: NDArray[np.int32]) -> bool:
    """Return whether the net has no point on or left and right of a line and within its arc."""
    ay, ax, by, bx = arcs[begin, 0], arcs[begin, 1], arcs[end, 0], arcs[end, 1]
    y0, y1, x0, x1 = min(ay, by), max(ay, by), min(ax, bx), max(ax, bx)
    for place in range(begin + 1, end):
        y0, y1 = min(y0, arcs[place, 0]), max(y1, arcs[place, 0])
        x0, x1 = min(x0, arcs[place, 1]), max(x1, arcs[place, 1])
    for y in range(y0, y1 + 1):
        for x in range(x0, x1 + 1):
            here = index[y, x]
            if here == NO_POINT or begin < here < end:
                continue
            if (y == ay and x == ax) or (y == by and x == bx):
                continue
            if _between(arcs, begin, end, y, x):
                return False
    return True


@kernel
def _between(arcs: NDArray[np.int32], begin: int, end: int, y: int, x: int) -> bool:
    """Return whether a point lies on a line, or between the line and its arc.

    It does if a ray from it to the right, just below its row, crosses the two an odd number of
    times. Where the ray and its opposite both cross them more than once, the answer is yes as well:
    an arc may wind round a point in both senses.
    """
    ay, ax, by, bx = arcs[begin, 0], arcs[begin, 1], arcs[end, 0], arcs[end, 1]
    side = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
    within = min(ay, by) <= y <= max(ay, by) and min(ax, bx) <= x <= max(ax, bx)
    if side == 0 and within:
        return True
    left, right = 0, 0
    if min(ay, by) <= y < max(ay, by):
        # The line's x on that row is greater than the point's where this has by - ay's sign.
        if (side > 0) == (by > ay):
            right += 1
        else:
            left += 1
    for place in range(begin, end):
        if arcs[place, 1] == arcs[place + 1, 1] and min(arcs[place, 0], arcs[place + 1, 0]) == y:
            if arcs[place, 1] > x:
                right += 1
            else:
                left += 1
    return right % 2 == 1 or (left > 1 and right > 1)
