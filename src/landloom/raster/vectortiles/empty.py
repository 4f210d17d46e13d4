"""An archive of no tiles, for tables without rows: tippecanoe makes none of those."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from landloom.raster.vectortiles.config import GenerationConfig, PMTilesConfig

HEADER_BYTES = 127
"""Length of the header of PMTiles version 3; the root directory follows it."""


def write_empty(output: Path, config: GenerationConfig, about: PMTilesConfig) -> None:
    """Write a PMTiles archive without tiles or layers, which says its zooms and its name.

    Args:
        output: File to write.
        config: How tiles would have been cut.
        about: What the archive says of itself.
    """
    from pmtiles import tile as untyped  # noqa: PLC0415 - comes with the extra

    pmtiles: Any = untyped

    said = {
        "name": about.name or output.stem,
        "description": about.description or output.stem,
        **({"attribution": about.attribution} if about.attribution else {}),
        "type": "overlay",
        "format": "pbf",
        "vector_layers": [],
    }
    directory = pmtiles.serialize_directory([])
    metadata = gzip.compress(json.dumps(said).encode(), mtime=0)
    end = HEADER_BYTES + len(directory) + len(metadata)
    header = pmtiles.serialize_header(
        {
            "root_offset": HEADER_BYTES,
            "root_length": len(directory),
            "metadata_offset": HEADER_BYTES + len(directory),
            "metadata_length": len(metadata),
            "leaf_directory_offset": end,
            "tile_data_offset": end,
            "tile_data_length": 0,
            "clustered": True,
            "internal_compression": pmtiles.Compression.GZIP,
            "tile_compression": pmtiles.Compression.GZIP,
            "tile_type": pmtiles.TileType.MVT,
            "min_zoom": config.min_zoom,
            "max_zoom": config.max_zoom,
        }
    )
    output.write_bytes(header + directory + metadata)
