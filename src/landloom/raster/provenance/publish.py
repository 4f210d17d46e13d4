"""Write an output's record, last of all: an output with a record is whole."""

from __future__ import annotations

from dataclasses import replace

from landloom.raster.provenance.contents import listing_of
from landloom.raster.provenance.item import stac_item
from landloom.raster.provenance.record import (
    ITEM,
    PROVENANCE,
    SCENES,
    Provenance,
    Scenes,
    read_scenes,
    write_document,
)
from landloom.raster.store.companions import companion
from landloom.raster.store.zarr import CubeStore

DIGEST = "landloom:provenance"
"""Attribute of a store: the digest of its record."""

ENGINE = "landloom:engine"
"""Attribute of a store: the version of the engine that made it."""

FOLDERS = frozenset({"polygons", "geometries"})
"""Outputs that are folders of GeoParquet; all others are stores."""


def publish(uri: str, provenance: Provenance) -> None:
    """Write scenes, STAC item and record of a finished output, and name the record in a store.

    Raises:
        StoreProblem: Something cannot be written.
    """
    origin = provenance.origin
    scenes = _scenes(uri, provenance)
    if origin.what in FOLDERS:
        grid = CubeStore.open(origin.inputs[0].uri)
    else:
        grid = CubeStore.open(uri)
        grid.finish({DIGEST: provenance.digest, ENGINE: origin.engine})
    provenance = replace(provenance, listing=listing_of(uri))
    write_document(companion(uri, ITEM), stac_item(uri, provenance, grid, scenes))
    write_document(companion(uri, PROVENANCE), provenance.to_json())


def _scenes(uri: str, provenance: Provenance) -> Scenes | None:
    """Return the output's frozen scenes; those of its inputs are written beside it first.

    A mosaic wrote its own before its first pixel.
    """
    if provenance.origin.what == "mosaic":
        return read_scenes(uri)
    scenes: Scenes = {"inputs": [read_scenes(each.uri) for each in provenance.origin.inputs]}
    write_document(companion(uri, SCENES), scenes)
    return scenes
