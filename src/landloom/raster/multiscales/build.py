"""A store of its own for maps: full resolution, overviews and statistics of a mosaic."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from landloom.errors import Cancelled, StoreProblem
from landloom.raster.execute.base import AskCancelled, Executor
from landloom.raster.grid import Window, tiles
from landloom.raster.journal import Report
from landloom.raster.multiscales.growing import STATISTICS, GrowingOverviews
from landloom.raster.multiscales.overview import Sketches, summarize_shard
from landloom.raster.multiscales.pyramid import Pyramid, ShardPlace
from landloom.raster.store import layout, objects
from landloom.raster.store.zarr import COMPLETE, DEFAULT_CHUNK, DEFAULT_SHARD, CubeStore, SubTile

SOURCE = "landloom:source"
"""Attribute: the store that this one was made of."""

READ = 1024
"""Pixels a side that are copied at a time where a store is not in our layout."""


def build_multiscales(
    source: CubeStore,
    output_uri: str,
    *,
    executor: Executor,
    report: Report,
    cancelled: AskCancelled,
    shard: int = DEFAULT_SHARD,
    chunk: int = DEFAULT_CHUNK,
) -> str:
    """Copy a store into a new one with overviews and statistics; return its URI.

    Pixels do not depend on shards, workers or order. Shards that are there are kept, so what was
    ended goes on where it was.

    Args:
        source: A mosaic or prediction of ours, or a georeferenced Zarr of others.
        output_uri: The store to make or go on with, ending in `.zarr`.
        executor: Runs the tasks, one a shard.
        report: Is told how far it has come.
        cancelled: Asked between pieces of a shard.
        shard: Pixels a side of a shard where the source is not in our layout.
        chunk: Likewise of a chunk.

    Raises:
        StoreProblem: The source is not finished; reading or writing failed; or another store is at
            `output_uri`.
        Cancelled: `cancelled` said so; what is written stays.
    """
    if source.native and source.attributes.get(COMPLETE) is False:
        raise StoreProblem(
            f"{source.uri} is not finished: its overviews would have holes.",
            suggestion="Start the workflow that makes it again; it goes on where it was.",
        )
    output = CubeStore.create(
        output_uri,
        geobox=source.geobox,
        bands=source.bands,
        times=source.times,
        attributes=_carried(source),
        shard=source.shard if source.native else shard,
        chunk=source.chunk if source.native else chunk,
        time_deltas=source.time_deltas,
        dtype=source.dtype,
    )
    growing = GrowingOverviews.begin(output)
    shards = [] if growing.complete else growing.pyramid.shards(0)
    run = partial(_copy, source, growing.pyramid)
    for done, (place, sketches) in enumerate(executor.map(run, shards, cancelled), 1):
        growing.add(place, sketches, cancelled)
        report("multiscales", "Copying pixels and making overviews", done, len(shards))
    growing.finish()
    output.finish({})
    return output_uri


def _copy(
    source: CubeStore, pyramid: Pyramid, place: ShardPlace, cancelled: AskCancelled
) -> Sketches:
    """Copy one shard unless it is there, and make its own overviews."""
    output = pyramid.base
    if not output.has_shard(*place):
        if not source.native:
            time, iy, ix = place
            window = output.shard_window(iy, ix)
            output.write_shard(time, iy, ix, _pixels(source, window, time, cancelled))
        elif source.has_shard(*place):
            objects.copy_object(source.shard_uri(*place), output.shard_uri(*place))
    return summarize_shard(pyramid, place, cancelled)


def _pixels(
    source: CubeStore, window: Window, time_index: int, cancelled: AskCancelled
) -> Iterator[SubTile]:
    """Yield the pixels of a shard of the copy, band by band."""
    for band, label in enumerate(source.bands):
        for tile in tiles(window.shape_yx, READ):
            if cancelled():
                raise Cancelled("The overviews were cancelled.")
            piece = tile.window.shifted(window.y0, window.x0)
            yield piece, source.read(time_index, [label], piece), band


def _carried(source: CubeStore) -> dict[str, Any]:
    """Return the attributes of a store that hold for its copy too."""
    own = {"Conventions", "multiscales", COMPLETE, STATISTICS, *layout.georeference(source.geobox)}
    kept = {key: value for key, value in source.attributes.items() if key not in own}
    return {**kept, SOURCE: source.uri}
