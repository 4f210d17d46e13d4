"""What an output carries beside its data: a folder that no reader of Zarr or Parquet looks into."""

from __future__ import annotations

from landloom.raster.store import objects

FOLDER = "_landloom"


def companion(uri: str, name: str) -> str:
    """Return the URI of something beside an output's data, such as `scenes.json`."""
    return objects.join(uri, FOLDER, name)
