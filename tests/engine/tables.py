"""GeoParquet tables of items and of rasters, as their own writers make them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import rasterio
import rustac
import shapely
from rasterio.warp import transform_bounds


def write_stac_geoparquet(path: Path, items: Sequence[dict[str, Any]]) -> Path:
    """Write items by rustac."""

    async def write() -> None:
        await rustac.write(str(path), list(items))

    asyncio.run(write())
    return path


def write_tile_index(path: Path, rasters: Sequence[Path], **columns: Sequence[Any]) -> Path:
    """Write a tile index of rasters: their footprints, a column `url`, and what else is given."""
    outlines = []
    for raster in rasters:
        with rasterio.open(raster) as file:
            bounds = transform_bounds(file.crs, "EPSG:4326", *file.bounds)
        outlines.append(shapely.box(*bounds))
    frame = gpd.GeoDataFrame(
        {"url": [str(raster) for raster in rasters], **columns}, geometry=outlines, crs=4326
    )
    frame.to_parquet(path, schema_version="1.1.0", write_covering_bbox=True)
    return path
