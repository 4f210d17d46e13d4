"""Bring your own rasters: the plan of a mosaic of the rasters that a GTI index lists."""

from __future__ import annotations

from landloom.raster.aoi import AoiRow
from landloom.raster.mosaic.plan import MosaicPlan
from landloom.wire.requests import BuildGtiMosaics


def plan_gti(request: BuildGtiMosaics, row: AoiRow) -> MosaicPlan:
    """Return the grid and the rasters of a mosaic of one AOI row."""
    raise NotImplementedError
