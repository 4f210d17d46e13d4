"""Scenes for tests: the real samples, and small GeoTIFFs made to order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from rasterio.warp import transform_bounds

from landloom.raster.catalog import Band, Dataset, MaskRule, SeasonRow, Source

SAMPLES = Path(__file__).parents[2] / "samples"
CATALOG = SAMPLES / "imagery" / "catalog.json"
INN_VALLEY = SAMPLES / "imagery" / "sentinel-2" / "inn-valley"
BANDS = ("B02", "B03", "B04", "B08")
UTM_33 = "EPSG:32633"


def dataset(href: Path | str, **changes: Any) -> Dataset:
    """Return a dataset of four bands over a static catalogue, masked by CSMASK or SCL."""
    values: dict[str, Any] = {
        "name": "SAMPLE",
        "prefix": "sample",
        "source": Source("static", str(href), None),
        "bands": tuple(Band(label, (label,)) for label in BANDS),
        "resolution": 10.0,
        "nodata": None,
        "radiometry": "none",
        "mask": MaskRule(("CSMASK",), (), (0,)),
        "max_cloud_cover": 75.0,
        "max_scenes": 0,
        "windows": (),
        "reducer": "median",
        "count_band": "N_VALID_PIXELS",
        "dtype": "float32",
    }
    return Dataset(**values | changes)


def season(first: int, last: int) -> tuple[SeasonRow, ...]:
    return (SeasonRow(-1.0, (first, last), (first, last)),)


def write_tiff(
    path: Path,
    pixels: np.ndarray,
    *,
    x0: float = 359130.0,
    y0: float = 5352340.0,
    pixel: float = 10.0,
    crs: str = UTM_33,
    nodata: float | None = 0,
    **options: Any,
) -> Path:
    """Write a single-band GeoTIFF, tiled by 64 px unless told otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": pixels.shape[0], "width": pixels.shape[1], "count": 1,
        "dtype": pixels.dtype.name, "crs": crs, "nodata": nodata,
        "transform": Affine(pixel, 0, x0, 0, -pixel, y0),
        "tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", "predictor": 2,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile | options) as file:
        file.write(pixels, 1)
    return path


def item(
    name: str,
    assets: Mapping[str, str],
    first: Path,
    when: str = "2023-06-01T10:00:00Z",
    **properties: Any,
) -> dict[str, Any]:
    """Return a STAC item whose footprint is that of the GeoTIFF `first`."""
    with rasterio.open(first) as file:
        bounds = transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "links": [],
        "geometry": shapely.geometry.mapping(shapely.box(*bounds)), "bbox": bounds,
        "properties": {"datetime": when, "eo:cloud_cover": 10.0, **properties},
        "assets": {key: {"href": href, "type": "image/tiff"} for key, href in assets.items()},
    }  # fmt: skip


def write_items(path: Path, items: Sequence[Mapping[str, Any]]) -> Path:
    """Write an ItemCollection."""
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}))
    return path


def make_scene(
    folder: Path, name: str, rng: np.random.Generator, side: int = 150, **place: Any
) -> dict[str, Any]:
    """Write a scene of four random bands with holes and a 20 m SCL; return its item."""
    assets = {}
    for band in BANDS:
        pixels = rng.integers(1, 5000, (side, side)).astype(np.uint16)
        pixels[rng.random((side, side)) < 0.1] = 0
        write_tiff(folder / name / f"{band}.tif", pixels, **place)
        assets[band] = f"{name}/{band}.tif"
    half = -(-side // 2)
    classes = rng.choice(np.array([4, 5, 6, 8, 9, 3], np.uint8), (half, half))
    write_tiff(folder / name / "SCL.tif", classes, **place | {"pixel": 20.0})
    assets["SCL"] = f"{name}/SCL.tif"
    day = sum(map(ord, name)) % 28 + 1
    return item(name, assets, folder / name / "B02.tif", f"2023-06-{day:02d}T10:00:00Z")
