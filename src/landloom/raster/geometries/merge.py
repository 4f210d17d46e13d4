"""Merge sightings into things: what several patches saw of one thing becomes one thing.

Whether two sightings are of one thing depends on the two alone, so the groups do not depend on the
order in which patches come; and of a group the answer is made in lattice order. Only sightings
that a later patch may still join are kept, so memory follows the front of patches in work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from landloom.raster.geometries.sighting import (
    SAME,
    Sighting,
    SightingKey,
    same_thing,
)
from landloom.raster.grid import Window
from landloom.raster.predict.pixels import hull
from landloom.raster.predict.plan import PatchKey, Planner

LARGEST_UNION = 1 << 26
"""Pixels. A group that spreads wider than this is not drawn to be compared with one view."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing on the ground."""

    prompt: int
    score: float
    """Of the best sighting."""
    sightings: tuple[Sighting, ...]
    """In lattice order; the mask of the thing is the union of theirs."""
    box: Window
    """In array pixels."""


@dataclass(slots=True)
class Merger:
    """Takes the sightings of patches in lattice order (row by row), gives whole things."""

    planner: Planner
    _patches: dict[PatchKey, _Seen] = field(default_factory=dict)
    """Of the rows that later patches overlap."""
    _parent: dict[SightingKey, SightingKey] = field(default_factory=dict)
    _groups: dict[SightingKey, list[Sighting]] = field(default_factory=dict)
    """By root: the smallest key of the group."""
    _row: int | None = None

    def add(self, key: PatchKey, sightings: list[Sighting]) -> Iterator[Thing]:
        """Take the sightings of the next patch; yield the things that no later patch can touch."""
        if key[0] != self._row:
            self._row = key[0]
            yield from self._finished(key[0] - self._radius)
        seen = _Seen(sightings)
        self._patches[key] = seen
        for each in sightings:
            self._parent[each.key] = each.key
            self._groups[each.key] = [each]
        if not sightings:
            return
        reach = self.planner.reach_window(key)
        for other in self._earlier(key):
            shared = reach.clipped(self.planner.reach_window(other))
            for known, each in _meeting(self._patches[other], seen, shared):
                if self._root(known.key) != self._root(each.key) and same_thing(
                    known, each, shared
                ):
                    self._join(known.key, each.key)

    def finish(self) -> Iterator[Thing]:
        """Yield the things that are left."""
        yield from self._finished(None)

    @property
    def _radius(self) -> int:
        """How many rows on a patch's reach still overlaps another's."""
        lattice = self.planner.lattice
        side = lattice.patch - 2 * lattice.margin
        return -(-side // lattice.stride) - 1

    def _earlier(self, key: PatchKey) -> Iterator[PatchKey]:
        ky, kx = key
        radius = self._radius
        for row in range(ky - radius, ky + 1):
            for column in range(kx - radius, kx + radius + 1):
                other = row, column
                if other < key and other in self._patches:
                    yield other

    def _root(self, key: SightingKey) -> SightingKey:
        while self._parent[key] != key:
            self._parent[key] = self._parent[self._parent[key]]
            key = self._parent[key]
        return key

    def _join(self, first: SightingKey, second: SightingKey) -> None:
        low, high = sorted((self._root(first), self._root(second)))
        if low != high:
            self._parent[high] = low
            self._groups[low] += self._groups.pop(high)

    def _finished(self, row: int | None) -> Iterator[Thing]:
        """Yield and forget the groups all of whose patches lie above `row`; None is every group.

        Patches above the row overlap none that is still to come.
        """
        done = [
            root
            for root, group in self._groups.items()
            if row is None or all(each.key[0][0] < row for each in group)
        ]
        for root in sorted(done):
            group = self._groups.pop(root)
            for each in group:
                del self._parent[each.key]
            yield thing_of(group)
        for key in [key for key in self._patches if row is None or key[0] < row]:
            del self._patches[key]


class _Seen:
    """The sightings of one patch, and where they lie."""

    def __init__(self, sightings: list[Sighting]) -> None:
        self.sightings = sightings
        self.extents = np.array(
            [(*_sides(each.window), each.prompt) for each in sightings], np.int64
        ).reshape(-1, 5)
        """(n, 5): y0, x0, y1, x1, prompt."""

    def within(self, shared: Window) -> NDArray[np.int64]:
        """Return the numbers of those whose windows meet a window."""
        y0, x0, y1, x1, _ = self.extents.T
        return np.flatnonzero(
            (y0 < shared.y1) & (y1 > shared.y0) & (x0 < shared.x1) & (x1 > shared.x0)
        )


def _sides(window: Window) -> tuple[int, int, int, int]:
    return window.y0, window.x0, window.y1, window.x1


def _meeting(first: _Seen, second: _Seen, shared: Window) -> Iterator[tuple[Sighting, Sighting]]:
    """Yield the pairs for one prompt whose windows meet on the shared ground."""
    lefts, rights = first.within(shared), second.within(shared)
    if not (len(lefts) and len(rights)):
        return
    known, new = first.extents[lefts], second.extents[rights]
    # (known, new): the later start before the earlier end, along both axes.
    meet = known[:, None, 4] == new[None, :, 4]
    for axis in (0, 1):
        start = np.maximum(known[:, None, axis], new[None, :, axis])
        end = np.minimum(known[:, None, axis + 2], new[None, :, axis + 2])
        meet &= start < end
    for left, right in zip(*np.nonzero(meet), strict=True):
        yield first.sightings[lefts[left]], second.sightings[rights[right]]


def thing_of(group: list[Sighting]) -> Thing:
    """Return what a group of sightings stands for.

    A patch that saw the whole thing knows better than the union of all views, which is blurred by
    each: the best-scored view that no reach cuts off stands for the thing alone, if it is the
    better part of the union (by `SAME`). A thing that every patch saw cut is the union.
    """
    ordered = sorted(group, key=lambda each: each.key)
    best = max(each.score for each in ordered)
    whole = [each for each in ordered if not each.cut]
    if whole:
        chosen = max(whole, key=lambda each: each.score)  # the first of equals
        if len(ordered) == 1 or _covers(chosen, ordered):
            return Thing(chosen.prompt, best, (chosen,), chosen.box)
    return Thing(ordered[0].prompt, best, tuple(ordered), hull(each.box for each in ordered))


def _covers(chosen: Sighting, group: list[Sighting]) -> bool:
    """Return whether a view is at least half of the union of a group."""
    bound = hull(each.window for each in group)
    height, width = bound.shape_yx
    if height * width > LARGEST_UNION:
        return False
    union = np.zeros(bound.shape_yx, bool)
    for each in group:
        union[each.window.shifted(-bound.y0, -bound.x0).slices()] |= each.mask
    return bool(np.count_nonzero(chosen.mask) >= SAME * np.count_nonzero(union))
