"""Boundary rings of labelled components, in the pixel lattice.

A vertex (y, x) is the corner between pixels (y-1, x-1) and (y, x). Rings run with their component
on the left as seen on a map (y down in the array, up on the map): exteriors counter-clockwise,
holes clockwise. A ring holds corners only, starts at its smallest vertex (y, then x), and does not
repeat it at its end.

Where two pixels of a component meet only at a corner, the ring turns right, from one pixel to the
other. So no ring ever touches itself: a component whose arms meet at a corner gets a hole that
touches its exterior in one point, which is valid, as the OGC's simple features want it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel

WEST, SOUTH, EAST, NORTH = 0, 1, 2, 3
"""Headings, each a left turn from the one before it."""


@dataclass(frozen=True, slots=True)
class Rings:
    """Closed rings of corners."""

    vertices: NDArray[np.int32]
    """(n, 2): y, x of the lattice."""
    starts: NDArray[np.int64]
    """(rings + 1,): ring i is `vertices[starts[i]:starts[i + 1]]`."""
    owner: NDArray[np.int64]
    """(rings,): the component each ring bounds."""

    def taken(self, order: NDArray[np.int64]) -> Rings:
        """Return the rings in another order, or some of them."""
        vertices, starts = take_rings(self.vertices, self.starts, order)
        return Rings(vertices, starts, self.owner[order])

    def first_vertices(self) -> NDArray[np.int32]:
        """Return (rings, 2): the smallest vertex of each ring."""
        return self.vertices[self.starts[:-1]]


def concatenated_rings(first: Rings, second: Rings) -> Rings:
    """Return the rings of both."""
    return Rings(
        np.concatenate([first.vertices, second.vertices]),
        np.concatenate([first.starts, second.starts[1:] + first.starts[-1]]),
        np.concatenate([first.owner, second.owner]),
    )


def trace_rings(labels: NDArray[np.int32]) -> Rings:
    """Trace every ring of every component of framed labels (see `label_components`).

    Returns:
        Rings in tile pixels, in the order of their first top edge.
    """
    vertices, starts, owner = _trace(labels)
    rotate_to_smallest(vertices, starts)
    return Rings(vertices, starts, owner)


@kernel
def _trace(
    labels: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Walk round each ring once; top edges that were walked are remembered."""
    height, width = labels.shape
    walked = np.zeros((height, width), np.uint8)
    vertices = np.empty((1024, 2), np.int32)
    starts = np.zeros(256, np.int64)
    owner = np.empty(256, np.int64)
    used, rings = 0, 0
    for top in range(1, height - 1):
        for left in range(1, width - 1):
            label = labels[top, left]
            if label == 0 or labels[top - 1, left] == label or walked[top, left]:
                continue
            y, x, heading = top, left + 1, WEST
            while True:
                y, x = _stepped(y, x, heading)
                if heading == WEST:
                    walked[y, x] = 1
                ahead_left, ahead_right = _ahead(labels, y, x, heading)
                if ahead_right == label or ahead_left != label:
                    if used == vertices.shape[0]:
                        vertices = _doubled_pairs(vertices)
                    vertices[used, 0], vertices[used, 1] = y - 1, x - 1
                    used += 1
                    heading = (heading + (3 if ahead_right == label else 1)) % 4
                if heading == WEST and y == top and x == left + 1:
                    break
            if rings + 1 == starts.size:
                starts, owner = _doubled(starts), _doubled(owner)
            owner[rings] = label
            rings += 1
            starts[rings] = used
    return vertices[:used], starts[: rings + 1], owner[:rings]


@kernel
def _stepped(y: int, x: int, heading: int) -> tuple[int, int]:
    """Return the next vertex."""
    if heading == WEST:
        return y, x - 1
    if heading == SOUTH:
        return y + 1, x
    if heading == EAST:
        return y, x + 1
    return y - 1, x


@kernel
def _ahead(labels: NDArray[np.int32], y: int, x: int, heading: int) -> tuple[int, int]:
    """Return the labels of the pixels that lie ahead of a vertex, left and right of the way."""
    north_west, north_east = labels[y - 1, x - 1], labels[y - 1, x]
    south_west, south_east = labels[y, x - 1], labels[y, x]
    if heading == WEST:
        return south_west, north_west
    if heading == SOUTH:
        return south_east, south_west
    if heading == EAST:
        return north_east, south_east
    return north_west, north_east


@kernel
def _doubled(items: NDArray[np.int64]) -> NDArray[np.int64]:
    out = np.empty(2 * items.size, np.int64)
    for index in range(items.size):
        out[index] = items[index]
    return out


@kernel
def _doubled_pairs(items: NDArray[np.int32]) -> NDArray[np.int32]:
    out = np.empty((2 * items.shape[0], 2), np.int32)
    for index in range(items.shape[0]):
        out[index, 0], out[index, 1] = items[index, 0], items[index, 1]
    return out


@kernel
def rotate_to_smallest(vertices: NDArray[np.int32], starts: NDArray[np.int64]) -> None:
    """Rotate each ring in place so that it starts at its smallest vertex."""
    for ring in range(starts.size - 1):
        begin, end = starts[ring], starts[ring + 1]
        best = begin
        for index in range(begin + 1, end):
            dy = vertices[index, 0] - vertices[best, 0]
            if dy < 0 or (dy == 0 and vertices[index, 1] < vertices[best, 1]):
                best = index
        if best == begin:
            continue
        size = end - begin
        turned = np.empty((size, 2), np.int32)
        for index in range(size):
            source = begin + (best - begin + index) % size
            turned[index, 0], turned[index, 1] = vertices[source, 0], vertices[source, 1]
        for index in range(size):
            vertices[begin + index, 0] = turned[index, 0]
            vertices[begin + index, 1] = turned[index, 1]


@kernel
def take_rings(
    vertices: NDArray[np.int32], starts: NDArray[np.int64], order: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Gather rings; returns their vertices and starts."""
    new_starts = np.zeros(order.size + 1, np.int64)
    for index in range(order.size):
        ring = order[index]
        new_starts[index + 1] = new_starts[index] + starts[ring + 1] - starts[ring]
    out = np.empty((new_starts[-1], 2), np.int32)
    for index in range(order.size):
        shift = starts[order[index]] - new_starts[index]
        for place in range(new_starts[index], new_starts[index + 1]):
            out[place, 0], out[place, 1] = vertices[place + shift, 0], vertices[place + shift, 1]
    return out, new_starts
