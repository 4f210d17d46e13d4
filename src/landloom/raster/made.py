"""An output that is there: what a step of a workflow hands on, and what the cache remembers."""

from __future__ import annotations

from landloom.wire.model import WireModel
from landloom.wire.results import MosaicRow


class Made(WireModel):
    """One output."""

    uri: str
    """Of the store, the GeoParquet folder or the file."""
    row: MosaicRow | None = None
    """A store as a row of a mosaic index."""
    count: int | None = None
    """Polygons or geometries in a folder."""
    skipped_rasters: int = 0
    """Rasters that could not be read and were left out."""
    skipped: list[str] = []
    """Those of them that were named."""
    changed: list[str] = []
    """Rasters of the caller's that changed while they were read."""
    cached: bool = False
    """Whether an earlier workflow had made it."""
