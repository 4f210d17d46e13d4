"""Scenes to one composite: read, warp, mask, reduce."""

from landloom.raster.mosaic.build import Sizes, build_mosaic, mosaic_row
from landloom.raster.mosaic.plan import MosaicPlan, plan_mosaic
from landloom.raster.mosaic.tile import MosaicTask, TileReport, build_tile

__all__ = [
    "MosaicPlan",
    "MosaicTask",
    "Sizes",
    "TileReport",
    "build_mosaic",
    "build_tile",
    "mosaic_row",
    "plan_mosaic",
]
