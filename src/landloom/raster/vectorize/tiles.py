"""Vector tiles of published polygons, for maps. They are made last: nobody waits for them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import shapely
from pyproj import CRS, Transformer

from landloom.raster.store import objects
from landloom.raster.vectortiles.config import GenerationConfig, PMTilesConfig
from landloom.raster.vectortiles.features import write_features
from landloom.raster.vectortiles.place import tiles_uri
from landloom.raster.vectortiles.tippecanoe import cut_tiles

ZOOMS = GenerationConfig(min_zoom=6, max_zoom=13)
"""From a country to a field: a unit of a tile of zoom 13 is about a metre."""

HIDDEN = {"geometry", "bbox", "label", "time"}
"""Columns that a tile says by its geometry and its layer's name."""


def write_tiles(folder: str) -> str:
    """Make the tiles of a GeoParquet folder and return their URI; layers are `<label>-<time>`.

    Raises:
        SetupProblem: tippecanoe is not installed, or it failed.
        StoreProblem: The folder cannot be read, or the tiles cannot be written.
    """
    target = tiles_uri(folder)
    with tempfile.TemporaryDirectory(prefix="landloom-tiles-") as scratch:
        features = Path(scratch) / "features.jsonl"
        with features.open("w", encoding="utf-8") as file:
            for uri in sorted(objects.list_objects(folder)):
                if uri.rsplit("/", 1)[-1].startswith("part-"):
                    _write_part(file, uri, Path(scratch) / "part.parquet")
        made = Path(scratch) / Path(urlsplit(target).path).name
        cut_tiles(features, made, ZOOMS, PMTilesConfig())
        objects.copy_object(str(made), target)
    return target


def _write_part(file: Any, uri: str, copy: Path) -> None:
    """Write the features of a part, a row group at a time."""
    objects.copy_object(uri, str(copy))
    with pq.ParquetFile(copy) as parquet:
        geo = json.loads(parquet.schema_arrow.metadata[b"geo"])
        crs = CRS.from_json_dict(geo["columns"]["geometry"]["crs"])
        to_degrees = Transformer.from_crs(crs, CRS.from_epsg(4326), always_xy=True)
        for group in range(parquet.num_row_groups):
            table = parquet.read_row_group(group)
            geometries = shapely.from_wkb(table["geometry"].to_numpy())
            if not crs.is_geographic:
                geometries = shapely.transform(geometries, to_degrees.transform, interleaved=False)
            layers = [
                f"{label}-{time:%Y-%m-%d %H:%M:%S}"
                for label, time in zip(
                    table["label"].to_pylist(), table["time"].to_pylist(), strict=True
                )
            ]
            said = table.drop_columns([name for name in HIDDEN if name in table.column_names])
            write_features(file, geometries, said.to_pylist(), layers, [None] * len(layers))
