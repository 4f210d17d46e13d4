"""Overviews and statistics of a store that is being written: they grow with its shards."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from landloom.errors import StoreProblem
from landloom.raster.execute.base import AskCancelled
from landloom.raster.multiscales.overview import (
    Sketches,
    ledger_of,
    write_overview,
)
from landloom.raster.multiscales.pyramid import Pyramid, ShardPlace
from landloom.raster.multiscales.statistics import BandSketch
from landloom.raster.store.zarr import CubeStore

STATISTICS = "landloom:statistics"
"""Attribute of the root.

`shards` and `of_shards` tell how much of the store was looked at; `bands` has for each label
`count`, `minimum`, `maximum`, `mean`, `stddev`, `percentiles` (`"2"` and `"98"`, the default colour
limits) and `histogram` (`bin_edges`, one more than `counts`), over all time steps; a band without
any value has `count` 0 alone.
"""


@dataclass(slots=True)
class GrowingOverviews:
    """Keeps the books of one store's overviews; used by the one thread that hands out its shards.

    `pyramid` goes to the workers: whoever has written a shard calls `summarize_shard` with it, and
    the result comes back to `add`.
    """

    pyramid: Pyramid
    complete: bool = False
    """Whether an earlier start had finished everything."""
    _sketches: list[BandSketch] = field(default_factory=list)
    _moments: list[list[tuple[int, float, float]]] = field(default_factory=list)
    """Per band and shard: count, mean, sum of squared deviations."""
    _parts: dict[tuple[int, ShardPlace], int] = field(default_factory=dict)
    """Shards of overviews that wait for some of their parts, and how many have come."""
    _added: int = 0
    _total: int = 0

    @classmethod
    def begin(cls, store: CubeStore) -> GrowingOverviews:
        """Make the overviews' groups; a map can open the store from now on.

        Raises:
            StoreProblem: They cannot be written, or something else is in their place.
        """
        pyramid = Pyramid(store)
        found = CubeStore.open(store.uri).attributes.get(STATISTICS, {})
        total = len(pyramid.shards(0))
        growing = cls(
            pyramid,
            complete=found.get("shards") == total,
            _sketches=[BandSketch()] * len(store.bands),
            _moments=[[] for _ in store.bands],
            _total=total,
        )
        if not growing.complete:
            pyramid.create()
        return growing

    def missing(self, written: Collection[ShardPlace]) -> list[ShardPlace]:
        """Return what of the shards that an earlier start wrote has yet to be summarized."""
        return [] if self.complete else sorted(written)

    def add(self, place: ShardPlace, sketches: Sketches, cancelled: AskCancelled) -> None:
        """Take in a shard that is written and summarized.

        Writes the overviews for which it was the last of four neighbours, and now and then the
        statistics so far.

        Raises:
            StoreProblem: Reading or writing failed.
            Cancelled: `cancelled` said so.
        """
        for band, sketch in enumerate(sketches):
            self._sketches[band] = self._sketches[band].merged(sketch)
            self._moments[band].append((sketch.count, sketch.mean, sketch.squares))
        self._raise(self.pyramid.depth, place, cancelled)
        self._added += 1
        # Each time twice as many: a handful of writes, however many shards there are.
        if self._added & (self._added - 1) == 0:
            self.pyramid.publish({STATISTICS: self.statistics()})

    def finish(self) -> None:
        """Mark the overviews complete and write the statistics of everything.

        Raises:
            StoreProblem: Shards were not added, or the store cannot be written.
        """
        if self.complete:
            return
        if self._added != self._total:
            raise StoreProblem(
                f"{self.pyramid.base.uri} has {self._total} shards; overviews were made of"
                f" {self._added}.",
                suggestion="Start the workflow again: it goes on where it was.",
            )
        for level in self.pyramid.levels[1:]:
            level.finish({})
        self.pyramid.publish({STATISTICS: self.statistics()})
        ledger_of(self.pyramid).clear()

    def statistics(self) -> dict[str, Any]:
        """Return the attribute `STATISTICS` of what was added so far; any order gives the same."""
        bands = {}
        for label, sketch, moments in zip(
            self.pyramid.base.bands, self._sketches, self._moments, strict=True
        ):
            bands[label] = _with_moments(sketch, moments).document()
        return {"shards": self._added, "of_shards": self._total, "bands": bands}

    def _raise(self, level: int, place: ShardPlace, cancelled: AskCancelled) -> None:
        """Write the shard above one that was finished, if it was the last part of it."""
        if level + 1 >= len(self.pyramid.levels):
            return
        above = self.pyramid.above(level, place)
        come = self._parts.pop((level + 1, above), 0) + 1
        if come < self.pyramid.parts(level + 1, above):
            self._parts[level + 1, above] = come
            return
        if not self.pyramid.levels[level + 1].has_shard(*above):
            write_overview(self.pyramid, level + 1, above, cancelled)
        self._raise(level + 1, above, cancelled)


def _with_moments(sketch: BandSketch, moments: list[tuple[int, float, float]]) -> BandSketch:
    """Return a sketch with mean and deviation summed exactly, so that no order shows in them."""
    if not sketch.count:
        return sketch
    mean = math.fsum(count * mean for count, mean, _ in moments) / sketch.count
    squares = math.fsum(squares + count * (each - mean) ** 2 for count, each, squares in moments)
    return replace(sketch, mean=mean, squares=squares)
