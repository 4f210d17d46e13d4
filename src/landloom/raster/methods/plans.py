"""The answer to a dry run."""

from __future__ import annotations

from collections.abc import Sequence

from landloom.raster.grid import tile_count
from landloom.raster.methods.work import Work
from landloom.raster.mosaic.plan import MosaicPlan
from landloom.raster.store.layout import crs_of
from landloom.wire.plan import Plan, PlannedMosaic


def plan_of(work: Work, plans: Sequence[MosaicPlan]) -> Plan:
    """Return what building these mosaics would read and make."""
    planned = []
    for plan in plans:
        height, width = (int(side) for side in plan.geobox.shape)
        planned.append(
            PlannedMosaic(
                crs=f"EPSG:{crs_of(plan.geobox).to_epsg()}",
                shape_yx=(height, width),
                resolution=float(plan.geobox.affine.a),
                scenes=plan.scenes,
                tiles=tile_count((height, width), work.settings.shard),
            )
        )
    return Plan(mosaics=planned)
