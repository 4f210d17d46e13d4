"""Overviews and statistics of a store, for maps."""

from landloom.raster.multiscales.build import build_multiscales
from landloom.raster.multiscales.growing import STATISTICS, GrowingOverviews
from landloom.raster.multiscales.overview import summarize_shard

__all__ = ["STATISTICS", "GrowingOverviews", "build_multiscales", "summarize_shard"]
