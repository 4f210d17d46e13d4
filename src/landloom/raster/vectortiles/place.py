"""Where the vector tiles of polygons lie."""

from __future__ import annotations


def tiles_uri(folder: str) -> str:
    """Return where the tiles of a folder of polygons lie: beside it."""
    return f"{folder.rstrip('/').removesuffix('.parquet')}.pmtiles"
