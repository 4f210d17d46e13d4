"""Rasters of one's own: the sample photograph, and the mosaic that is made of an index of it."""

from typing import Any

from landloom.wire.enums import ResamplingMethod
from rasterflow_remote import RasterflowClient
from tests.e2e.conftest import SAMPLES

NAIP = SAMPLES / "imagery" / "naip" / "california-native" / "2020-04-15" / "image.tif"
NAIP_AOI = str(SAMPLES / "aoi" / "california_native.geojson")


def own_mosaic(index: str, **more: Any) -> Any:
    """Have a mosaic made, as this process's environment says, of the rasters of an index."""
    return RasterflowClient().build_gti_mosaics(
        index,
        NAIP_AOI,
        ["r", "g", "b", "ir"],
        location_field="url",
        time_column="year",
        xy_chunksize=128,
        query="year == 2020",
        resampling=ResamplingMethod.NEAREST,
        nodata=0.0,
        **more,
    )
