"""Overviews and statistics of a store, for maps: in a store of their own, or as it is being built.

`build_multiscales` copies a finished store. Whoever writes a store shard by shard makes them in the
store itself: `GrowingOverviews.begin(store)` once it is created; `summarize_shard(growing.pyramid,
place, cancelled)` in the worker that has written a shard; `growing.add(place, sketches, cancelled)`
with its result in the thread that hands out the work; `growing.finish()` before `store.finish`.
After a restart the shards in `growing.missing(written)` are summarized and added first.
"""

from landloom.raster.multiscales.build import build_multiscales
from landloom.raster.multiscales.growing import STATISTICS, GrowingOverviews
from landloom.raster.multiscales.overview import summarize_shard

__all__ = ["STATISTICS", "GrowingOverviews", "build_multiscales", "summarize_shard"]
