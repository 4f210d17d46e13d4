"""Writing overviews: one shard from the shards below it, and all that one shard gives by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from landloom.errors import Cancelled
from landloom.raster.execute.base import AskCancelled
from landloom.raster.grid import tiles
from landloom.raster.ledger import Ledger
from landloom.raster.multiscales.halve import halve
from landloom.raster.multiscales.pyramid import Pyramid, ShardPlace, doubled
from landloom.raster.multiscales.statistics import BandSketch
from landloom.raster.store.zarr import SubTile

PIECE = 1024
"""Pixels a side of an overview that are made at a time; no less than a chunk."""

type Sketches = tuple[BandSketch, ...]
"""One for each band."""

type _Watch = Callable[[int, NDArray[np.float32]], None]


def write_overview(
    pyramid: Pyramid,
    level: int,
    place: ShardPlace,
    cancelled: AskCancelled,
    watch: _Watch | None = None,
) -> None:
    """Write one shard of an overview; the shards it is made of are all there.

    Args:
        pyramid: The store.
        level: Which overview, from 1.
        place: Which shard.
        cancelled: Asked between pieces; the shard is then not written.
        watch: Is shown every band and its pixels of the level before, once.

    Raises:
        StoreProblem: Reading or writing failed.
        Cancelled: `cancelled` said so.
    """
    time, iy, ix = place
    subtiles = _halved(pyramid, level, place, cancelled, watch)
    pyramid.levels[level].write_shard(time, iy, ix, subtiles)


def summarize_shard(pyramid: Pyramid, place: ShardPlace, cancelled: AskCancelled) -> Sketches:
    """Write the overviews that one shard of full resolution gives alone; return what is in it.

    That it is done is noted down in the store, so that it is not done again after a restart.

    Raises:
        StoreProblem: Reading or writing failed.
        Cancelled: `cancelled` said so.
    """
    ledger, name = ledger_of(pyramid), "/".join(map(str, place))
    for _, noted in ledger.notes([name]):
        if noted is not None:
            return tuple(BandSketch.from_json(document) for document in noted["bands"])
    sketches = [BandSketch()] * len(pyramid.base.bands)

    def watch(band: int, pixels: NDArray[np.float32]) -> None:
        sketches[band] = sketches[band].merged(BandSketch.of(pixels))

    if not pyramid.depth:
        _look(pyramid, place, cancelled, watch)
    for level in range(1, pyramid.depth + 1):
        write_overview(pyramid, level, place, cancelled, watch if level == 1 else None)
    ledger.note(name, {"bands": [sketch.to_json() for sketch in sketches]})
    return tuple(sketches)


def ledger_of(pyramid: Pyramid) -> Ledger:
    """Return where it is noted down which shards' own overviews are written."""
    return Ledger(pyramid.base.companion("overviews"))


def _halved(
    pyramid: Pyramid,
    level: int,
    place: ShardPlace,
    cancelled: AskCancelled,
    watch: _Watch | None,
) -> Iterator[SubTile]:
    time, iy, ix = place
    coarser, finer = pyramid.levels[level], pyramid.levels[level - 1]
    window = coarser.shard_window(iy, ix)
    # Whole chunks, so that none of them waits for its other half in memory.
    side = coarser.chunk * max(1, PIECE // coarser.chunk)
    for band, label in enumerate(coarser.bands):
        for tile in tiles(window.shape_yx, side):
            _ask(cancelled)
            piece = tile.window.shifted(window.y0, window.x0)
            pixels = finer.read(time, [label], doubled(piece, finer))[0]
            if watch is not None:
                watch(band, pixels)
            yield piece, halve(pixels)[None], band


def _look(pyramid: Pyramid, place: ShardPlace, cancelled: AskCancelled, watch: _Watch) -> None:
    """Show every band of a shard of full resolution to `watch`."""
    time, iy, ix = place
    store = pyramid.base
    window = store.shard_window(iy, ix)
    for band, label in enumerate(store.bands):
        for tile in tiles(window.shape_yx, 2 * PIECE):
            _ask(cancelled)
            piece = tile.window.shifted(window.y0, window.x0)
            watch(band, store.read(time, [label], piece)[0])


def _ask(cancelled: AskCancelled) -> None:
    if cancelled():
        raise Cancelled("The overviews were cancelled.")
