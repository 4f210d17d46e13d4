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


class Plan(WireModel):
    """What a workflow would read and make."""

    mosaics: list[PlannedMosaic] = []
    model: str | None = None
    patches: int = 0
