"""Change: each time step of mosaics of one grid, subtracted from the next one."""

from __future__ import annotations

from collections.abc import Sequence

from landloom.raster.execute.base import AskCancelled, Executor
from landloom.raster.journal import Report
from landloom.raster.store.zarr import CubeStore
from landloom.wire.results import MosaicRow


def change_mosaics(
    sources: Sequence[CubeStore],
    features: Sequence[str] | None,
    output_uri: str,
    *,
    executor: Executor,
    report: Report,
    cancelled: AskCancelled,
) -> MosaicRow:
    """Write the difference of consecutive time steps to a store."""
    raise NotImplementedError
