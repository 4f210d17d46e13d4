"""Provenance: what each output is made of, written beside it, so that it can be made again."""

from landloom.raster.provenance.contents import (
    Contents,
    changed_since,
    contents_of,
    identify,
    listing_of,
    state_of,
    valid_record,
)
from landloom.raster.provenance.origin import InputStore, Origin, UsedModel, What, digest_of
from landloom.raster.provenance.publish import publish
from landloom.raster.provenance.record import Provenance, read_provenance, read_scenes
from landloom.raster.provenance.versions import differences, engine_version, versions

__all__ = [
    "Contents",
    "InputStore",
    "Origin",
    "Provenance",
    "UsedModel",
    "What",
    "changed_since",
    "contents_of",
    "differences",
    "digest_of",
    "engine_version",
    "identify",
    "listing_of",
    "publish",
    "read_provenance",
    "read_scenes",
    "state_of",
    "valid_record",
    "versions",
]
