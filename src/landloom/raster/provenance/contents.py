"""What lies at a URI: how much of it, and which identity it has as an input."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from landloom.errors import StoreProblem
from landloom.raster.provenance.origin import InputStore, digest_of
from landloom.raster.provenance.record import read_provenance
from landloom.raster.store import objects
from landloom.raster.store.companions import FOLDER


@dataclass(frozen=True, slots=True)
class Contents:
    """How much lies at a URI, what `_landloom` holds aside."""

    objects: int
    bytes: int


def contents_of(uri: str) -> Contents:
    """Count what lies below a URI by one listing; nothing there is zero objects.

    Raises:
        StoreProblem: The store does not answer.
    """
    sizes = [
        entry.size
        for entry in objects.describe_objects(uri)
        if not entry.path.startswith(f"{FOLDER}/")
    ]
    return Contents(len(sizes), sum(sizes))


def identify(uri: str) -> InputStore:
    """Return a store as an input: known by its provenance, or else by everything that lies there.

    Raises:
        StoreProblem: There is no store.
    """
    provenance = read_provenance(uri)
    if provenance is not None:
        return InputStore(uri, provenance.digest)
    metadata, listing = _metadata(uri), _listing(uri)
    if metadata is None and not listing:
        raise StoreProblem(
            f"There is no store at {uri}.",
            suggestion="Pass the URI of a store made by build_mosaics or predict_mosaic.",
        )
    digest = digest_of({"metadata": metadata, "objects": listing})
    return InputStore(uri, digest, certain=bool(listing))


def _metadata(uri: str) -> Any:
    """Return the store's root document; None for an older format, which keeps it elsewhere."""
    try:
        return json.loads(objects.read_bytes(objects.join(uri, "zarr.json")))
    except (StoreProblem, ValueError):
        return None


def _listing(uri: str) -> list[tuple[str, int, str]]:
    """Return path, size and etag of every object; nothing where the store cannot be listed."""
    try:
        entries = objects.describe_objects(uri)
        return sorted((entry.path, entry.size, entry.etag) for entry in entries)
    except StoreProblem:  # a plain web server
        return []
