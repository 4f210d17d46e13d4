"""Connected components of a tile of class values.

Components are numbered from 1 in the order of their first pixel, row by row, so that the numbers
depend on the pixels alone. The labels carry a frame of zeros one pixel wide, which spares every
later loop its bounds checks.

Two-scan labelling with union-find on provisional labels: Wu, Otoo and Suzuki (2009), "Optimizing
two-pass connected-component labeling algorithms".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel


@kernel
def root_of(parent: NDArray[np.int64], item: int) -> int:
    """Return the smallest member of `item`'s set, halving the path on the way."""
    while parent[item] != item:
        parent[item] = parent[parent[item]]
        item = parent[item]
    return item


@kernel
def unite(parent: NDArray[np.int64], first: int, second: int) -> None:
    """Make one set of two; its root is its smallest member, so the order of calls is no matter."""
    a, b = root_of(parent, first), root_of(parent, second)
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@kernel
def unite_pairs(
    parent: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> None:
    """Unite `first[i]` with `second[i]` for every i."""
    for index in range(first.size):
        unite(parent, first[index], second[index])


@kernel
def roots(parent: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the root of every item."""
    out = np.empty_like(parent)
    for item in range(parent.size):
        out[item] = root_of(parent, item)
    return out


@kernel
def label_components(values: NDArray[np.integer[Any]]) -> tuple[NDArray[np.int32], int]:
    """Label the 4-connected areas of equal value.

    Args:
        values: (y, x); 0 is background and belongs to no component.

    Returns:
        Labels (y + 2, x + 2) with a frame of zeros, and how many components there are.
    """
    height, width = values.shape
    labels = np.zeros((height + 2, width + 2), np.int32)
    parent = np.zeros(_run_count(values) + 1, np.int64)
    used = 0
    for y in range(height):
        for x in range(width):
            value = values[y, x]
            if value == 0:
                continue
            left = labels[y + 1, x] if x > 0 and values[y, x - 1] == value else 0
            above = labels[y, x + 1] if y > 0 and values[y - 1, x] == value else 0
            if left == 0 and above == 0:
                used += 1
                parent[used] = used
                labels[y + 1, x + 1] = used
            elif left != 0:
                labels[y + 1, x + 1] = left
                if above not in (0, left):
                    unite(parent, left, above)
            else:
                labels[y + 1, x + 1] = above
    return labels, _renumber(labels, parent[: used + 1])


@kernel
def _run_count(values: NDArray[np.integer[Any]]) -> int:
    """Count runs of equal value along rows: no component can start but at the start of a run."""
    count = 0
    for y in range(values.shape[0]):
        previous = 0
        for x in range(values.shape[1]):
            value = values[y, x]
            if value not in (0, previous):
                count += 1
            previous = value
    return count


@kernel
def _renumber(labels: NDArray[np.int32], parent: NDArray[np.int64]) -> int:
    """Replace provisional labels by consecutive numbers; return how many there are."""
    number = np.zeros(parent.size, np.int32)
    count = 0
    for item in range(1, parent.size):  # a root is smaller than all of its set
        root = root_of(parent, item)
        if root == item:
            count += 1
            number[item] = count
        else:
            number[item] = number[root]
    for y in range(1, labels.shape[0] - 1):
        for x in range(1, labels.shape[1] - 1):
            labels[y, x] = number[labels[y, x]]
    return count


@kernel
def group_diagonals(
    labels: NDArray[np.int32], values: NDArray[np.integer[Any]], count: int
) -> NDArray[np.int64]:
    """Join components of equal value that touch at a corner.

    Returns:
        The smallest label of each label's 8-connected group, (count + 1,); entry 0 is 0.
    """
    parent = np.arange(count + 1)
    height, width = values.shape
    for y in range(height - 1):
        for x in range(width - 1):
            if values[y, x] != 0 and values[y, x] == values[y + 1, x + 1]:
                unite(parent, labels[y + 1, x + 1], labels[y + 2, x + 2])
            if values[y, x + 1] != 0 and values[y, x + 1] == values[y + 1, x]:
                unite(parent, labels[y + 1, x + 2], labels[y + 2, x + 1])
    return roots(parent)
