"""What a workflow would do: the answer to a dry run."""

from __future__ import annotations

from landloom.wire.model import WireModel


class PlannedMosaic(WireModel):
    """One mosaic that would be built."""

    crs: str
    shape_yx: tuple[int, int]
    resolution: float
    """Pixel size in units of the CRS."""
    scenes: dict[str, int]
    """Scenes per dataset."""
    tiles: int
    bytes_to_read: int = 0
    """Compressed bytes of the rasters' blocks that would be read."""
    seconds: float | None = None
    """Estimated from rates measured on this machine; None where there is no rate."""


class Plan(WireModel):
    """What a workflow would read and make."""

    mosaics: list[PlannedMosaic] = []
    model: str | None = None
    patches: int = 0
    bytes_to_read: int = 0
    seconds: float | None = None
    """Of all steps together."""
    notes: list[str] = []
    """What the figures rest on."""
