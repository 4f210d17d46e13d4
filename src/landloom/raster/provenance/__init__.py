"""Provenance: what each output is made of, written beside it, so that it can be made again."""

from landloom.raster.provenance.contents import Contents, contents_of, identify
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
    "contents_of",
    "differences",
    "digest_of",
    "engine_version",
    "identify",
    "publish",
    "read_provenance",
    "read_scenes",
    "versions",
]
