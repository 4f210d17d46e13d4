"""Make vector tiles of a table."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import geopandas as gpd
import pandas as pd
import shapely

from landloom.raster.store import objects
from landloom.raster.vectortiles.config import (
    QUICK,
    UNNAMED,
    USUAL,
    GenerationConfig,
    PMTilesConfig,
)
from landloom.raster.vectortiles.features import write_features
from landloom.raster.vectortiles.tippecanoe import cut_tiles

DEFAULT_LAYER = "default"


def generate_pmtiles(
    df: Any,
    path: str | Path,
    config: GenerationConfig = USUAL,
    pmtiles_config: PMTilesConfig = UNNAMED,
) -> None:
    """Write a table as a PMTiles archive.

    Args:
        df: A GeoDataFrame, or a Spark DataFrame with a geometry column.
        path: `s3://bucket/key.pmtiles`, or a file.
        config: How tiles are cut.
        pmtiles_config: What the archive says of itself.

    Raises:
        ValueError: The table has no geometry, or one beyond the map.
        SetupProblem: tippecanoe is not installed, or it failed.
        StoreProblem: The archive cannot be written.
    """
    target = str(path)
    with tempfile.TemporaryDirectory(prefix="vtiles-") as folder:
        features = Path(folder) / "features.jsonl"
        with features.open("w", encoding="utf-8") as file:
            _write_table(file, _geo_table(df))
        made = Path(folder) / Path(urlsplit(target).path).with_suffix(".pmtiles").name
        cut_tiles(features, made, config, pmtiles_config)
        objects.copy_object(str(made), target)


def generate_quick_pmtiles(df: Any, path: str | Path) -> None:
    """Write a table as a PMTiles archive of a few zooms, for a look; see `generate_pmtiles`."""
    generate_pmtiles(df, path, QUICK)


def generate(df: Any, config: GenerationConfig = USUAL) -> pd.DataFrame:
    """Return the tiles of a table as rows: zoom `z`, `x`, `y` and the `tile`'s bytes.

    Args:
        df: See `generate_pmtiles`.
        config: How tiles are cut.

    Raises:
        ValueError: The table has no geometry, or one beyond the map.
        SetupProblem: tippecanoe is not installed, or it failed.
    """
    from pmtiles import reader  # noqa: PLC0415 - comes with the extra

    pmtiles: Any = reader

    with tempfile.TemporaryDirectory(prefix="vtiles-") as folder:
        archive = Path(folder) / "tiles.pmtiles"
        generate_pmtiles(df, archive, config)
        with archive.open("rb") as file:
            rows = [(*place, data) for place, data in pmtiles.all_tiles(pmtiles.MmapSource(file))]
    return pd.DataFrame(rows, columns=["z", "x", "y", "tile"])


def _geo_table(df: Any) -> gpd.GeoDataFrame:
    """Return a table as a GeoDataFrame in longitude and latitude."""
    table = df.toPandas() if hasattr(df, "toPandas") else df
    if not isinstance(table, gpd.GeoDataFrame):
        named = [name for name in table.columns if _holds_geometries(table[name])]
        if not named and "geometry" in table and table["geometry"].isna().all():
            named = ["geometry"]  # of no rows, or of rows that are nowhere
        if not named:
            raise ValueError(f"the table has no geometry column; it has {list(table.columns)}")
        table = gpd.GeoDataFrame(table, geometry=named[0])
    crs = table.crs
    return table if crs is None or crs.to_epsg() == 4326 else table.to_crs(4326)  # noqa: PLR2004


def _holds_geometries(column: pd.Series[Any]) -> bool:
    present = column.dropna()
    return bool(len(present)) and isinstance(present.iloc[0], shapely.Geometry)


def _write_table(file: Any, table: gpd.GeoDataFrame) -> None:
    names = [name for name in table.columns if name not in {table.geometry.name, "layer", "id"}]
    layers: list[str] = [DEFAULT_LAYER] * len(table)
    if "layer" in table:
        layers = [DEFAULT_LAYER if pd.isna(layer) else str(layer) for layer in table["layer"]]
    write_features(file, table.geometry, _records(table, names), layers, _ids(table))


def _records(table: gpd.GeoDataFrame, names: list[str]) -> Iterator[dict[str, Any]]:
    for row in table[names].itertuples(index=False, name=None):
        yield dict(zip(names, row, strict=True))


def _ids(table: gpd.GeoDataFrame) -> list[int | None]:
    if "id" not in table:
        return [None] * len(table)
    try:
        return [None if pd.isna(value) else int(json.loads(str(value))) for value in table["id"]]
    except (TypeError, ValueError):
        raise ValueError("the column id is not of whole numbers: rename it to keep it") from None
