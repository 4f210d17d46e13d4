"""Directed boundary segments become closed rings.

The boundary of a component that was cut by tile borders arrives as segments, in any order. Every
vertex has as many segments coming in as going out, one of each or, where two pixels of the
component meet only at a corner, two. There the ring turns right, the rule of `trace`, so that cut
and uncut components get the same rings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel
from landloom.raster.vectorize.trace import Rings, rotate_to_smallest


def link_segments(segments: NDArray[np.int32], owner: NDArray[np.int64], owners: int) -> Rings:
    """Join segments to rings of corners.

    Args:
        segments: (n, 4): from y, x to y, x; along one axis, any length, none within another.
        owner: (n,): the component that each bounds, from 0.
        owners: How many components there are.
    """
    order = np.lexsort((segments[:, 1], segments[:, 0], owner))
    ordered, sorted_owner = segments[order], owner[order]
    begins = np.searchsorted(sorted_owner, np.arange(owners + 1))
    vertices, starts, ring_owner = _link(ordered, sorted_owner, begins)
    rotate_to_smallest(vertices, starts)
    return Rings(vertices, starts, ring_owner)


@kernel
def _link(
    segments: NDArray[np.int32], owner: NDArray[np.int64], begins: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Follow each segment to the next; only turns become vertices."""
    total = segments.shape[0]
    vertices = np.empty((total, 2), np.int32)
    starts = np.zeros(total + 1, np.int64)
    ring_owner = np.empty(total, np.int64)
    walked = np.zeros(total, np.uint8)
    used, rings = 0, 0
    for first in range(total):
        if walked[first]:
            continue
        current = first
        while True:
            walked[current] = 1
            heading = _heading(segments, current)
            following = _following(segments, current, heading, begins, owner[current])
            if _heading(segments, following) != heading:
                vertices[used, 0] = segments[current, 2]
                vertices[used, 1] = segments[current, 3]
                used += 1
            current = following
            if current == first:
                break
        ring_owner[rings] = owner[first]
        rings += 1
        starts[rings] = used
    return vertices[:used], starts[: rings + 1], ring_owner[:rings]


@kernel
def _heading(segments: NDArray[np.int32], index: int) -> int:
    """Return WEST 0, SOUTH 1, EAST 2 or NORTH 3, as in `trace`."""
    if segments[index, 0] == segments[index, 2]:
        return 0 if segments[index, 3] < segments[index, 1] else 2
    return 1 if segments[index, 2] > segments[index, 0] else 3


@kernel
def _following(
    segments: NDArray[np.int32], index: int, heading: int, begins: NDArray[np.int64], owner: int
) -> int:
    """Return the owner's segment that starts where this one ends, the right-hand one of two."""
    y, x = segments[index, 2], segments[index, 3]
    low, high = int(begins[owner]), int(begins[owner + 1])
    while low < high:
        middle = (low + high) // 2
        dy = segments[middle, 0] - y
        if dy < 0 or (dy == 0 and segments[middle, 1] < x):
            low = middle + 1
        else:
            high = middle
    other = low + 1
    if (
        other < begins[owner + 1]
        and segments[other, 0] == y
        and segments[other, 1] == x
        and _heading(segments, other) == (heading + 3) % 4
    ):
        return other
    return low
