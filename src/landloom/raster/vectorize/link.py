"""Directed boundary chains become closed rings.

The boundary of a component that tile borders cut arrives as chains, in any order. Every end has as
many chains coming in as going out, one of each or, where two pixels of the component meet only at a
corner, two. There the ring turns right, the rule of `trace`, so that cut and uncut components get
the same rings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel
from landloom.raster.vectorize.chains import Lines
from landloom.raster.vectorize.trace import Rings, rotate_to_smallest


def link_order(lines: Lines) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find which chain follows which.

    Returns:
        Indexes of the chains ring by ring, and where each ring starts among them (rings + 1).
    """
    order = np.lexsort((lines.ends[:, 1], lines.ends[:, 0], lines.owner))
    ordered = lines.taken(order)
    owners = int(ordered.owner[-1]) + 1 if len(order) else 0
    begins = np.searchsorted(ordered.owner, np.arange(owners + 1))
    sequence, starts = _link(ordered.ends, ordered.headings, ordered.owner, begins)
    return order[sequence], starts


def joined_rings(
    chains: Rings, headings: NDArray[np.uint8], ring_starts: NDArray[np.int64]
) -> Rings:
    """Join chains that follow one another to rings of corners.

    Args:
        chains: In the order of `link_order`; corners and owners.
        headings: (chains, 2), see `Lines`.
        ring_starts: Where each ring starts among the chains.
    """
    vertices, starts = _join(chains.vertices, chains.starts, headings, ring_starts)
    rotate_to_smallest(vertices, starts)
    return Rings(vertices, starts, chains.owner[ring_starts[:-1]])


@kernel
def _link(
    ends: NDArray[np.int32],
    headings: NDArray[np.uint8],
    owner: NDArray[np.int64],
    begins: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Follow each chain to the next."""
    total = owner.size
    sequence = np.empty(total, np.int64)
    starts = np.zeros(total + 1, np.int64)
    walked = np.zeros(total, np.uint8)
    used, rings = 0, 0
    for first in range(total):
        if walked[first]:
            continue
        current = first
        while True:
            walked[current] = 1
            sequence[used] = current
            used += 1
            current = _following(ends, headings, current, begins, owner[current])
            if current == first:
                break
        rings += 1
        starts[rings] = used
    return sequence, starts[: rings + 1].copy()


@kernel
def _following(
    ends: NDArray[np.int32],
    headings: NDArray[np.uint8],
    index: int,
    begins: NDArray[np.int64],
    owner: int,
) -> int:
    """Return the owner's chain that starts where this one ends, the right-hand one of two."""
    y, x = ends[index, 2], ends[index, 3]
    low, high = int(begins[owner]), int(begins[owner + 1])
    while low < high:
        middle = (low + high) // 2
        dy = ends[middle, 0] - y
        if dy < 0 or (dy == 0 and ends[middle, 1] < x):
            low = middle + 1
        else:
            high = middle
    other = low + 1
    if (
        other < begins[owner + 1]
        and ends[other, 0] == y
        and ends[other, 1] == x
        and headings[other, 0] == (headings[index, 1] + 3) % 4
    ):
        return other
    return low


@kernel
def _join(
    vertices: NDArray[np.int32],
    starts: NDArray[np.int64],
    headings: NDArray[np.uint8],
    ring_starts: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Put chains together; a joint that is no turn is no corner."""
    out = np.empty((vertices.shape[0], 2), np.int32)
    out_starts = np.zeros(ring_starts.size, np.int64)
    used = 0
    for ring in range(ring_starts.size - 1):
        begin, end = ring_starts[ring], ring_starts[ring + 1]
        for chain in range(begin, end):
            before = chain - 1 if chain > begin else end - 1
            turns = headings[before, 1] != headings[chain, 0]
            for vertex in range(starts[chain] + (0 if turns else 1), starts[chain + 1] - 1):
                out[used, 0], out[used, 1] = vertices[vertex, 0], vertices[vertex, 1]
                used += 1
        out_starts[ring + 1] = used
    return out[:used].copy(), out_starts
