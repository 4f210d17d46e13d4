"""What a mosaic is called for."""

from __future__ import annotations

import shapely
from pyproj import CRS

from landloom.raster.aoi import AoiRow
from landloom.raster.grid import Extent
from landloom.raster.methods.mosaics import _key
from landloom.wire.requests import BuildGtiMosaics


def test_a_frozen_plan_is_of_one_grid_only() -> None:
    """Two areas may be one in degrees and have grids of their own: see `snapped_geobox`."""
    request = BuildGtiMosaics(gti="index.parquet", aoi="aoi.parquet", bands=["red"])
    place = shapely.box(13, 48, 14, 49)
    extents = [
        None,
        Extent(CRS(32633), (300000.0, 4990240.0, 409800.0, 5100040.0)),
        Extent(CRS(32633), (300000.0, 4990240.0, 409800.0, 5100040.5)),
        Extent(CRS(3035), (300000.0, 4990240.0, 409800.0, 5100040.0)),
    ]
    keys = {_key(request, AoiRow(place, "", extent)) for extent in extents}
    assert len(keys) == len(extents)
    assert keys == {_key(request, AoiRow(place, "another", extent)) for extent in extents}
