"""Overviews and statistics of a store, for maps."""

from __future__ import annotations

from landloom.raster.execute.base import AskCancelled, Executor
from landloom.raster.journal import Report
from landloom.raster.store.zarr import CubeStore


def build_multiscales(
    source: CubeStore,
    output_uri: str,
    *,
    executor: Executor,
    report: Report,
    cancelled: AskCancelled,
) -> str:
    """Copy a store into a new one with overviews and statistics; return its URI."""
    raise NotImplementedError
