"""What lies at a URI: how much of it, whether it is what its record says, and its identity.

A record holds a digest of the listing of its output: paths, sizes and etags, without `_landloom`.
An output that was changed since, or copied and perhaps changed, has another listing, and its record
says nothing of it any more: it is then known as a store of others is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from landloom.errors import StoreProblem
from landloom.raster.provenance.origin import InputStore, digest_of
from landloom.raster.provenance.record import Provenance, read_provenance
from landloom.raster.store import objects
from landloom.raster.store.companions import FOLDER

type Listing = list[tuple[str, int, str]]
"""Path, size in bytes and etag of every object, in order."""


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
    sizes = [size for _, size, _ in _listing(uri)]
    return Contents(len(sizes), sum(sizes))


def listing_of(uri: str) -> str:
    """Return a digest that changes with any object below a URI, by one listing.

    Raises:
        StoreProblem: The store does not answer.
    """
    return digest_of(_listing(uri))


def state_of(uri: str) -> str:
    """Return what changes with the bytes of a single object: its size and etag.

    Raises:
        StoreProblem: It is not there, or its store does not answer.
    """
    entry = objects.describe_object(uri)
    return f"{entry.size} {entry.etag}"


def valid_record(uri: str) -> Provenance | None:
    """Return the record of an output that lies there as it was when the record was written.

    Raises:
        StoreProblem: The store does not answer, or the record cannot be read.
    """
    provenance = read_provenance(uri)
    # Records of earlier versions do not say what their output was like.
    if provenance is None or provenance.listing is None:
        return None
    return provenance if provenance.listing == listing_of(uri) else None


def identify(uri: str) -> InputStore:
    """Return a store as an input: known by its provenance, or else by everything that lies there.

    Raises:
        StoreProblem: There is no store.
    """
    provenance = read_provenance(uri)
    try:
        listing = _listing(uri)
    except StoreProblem:  # a plain web server
        listing = []
    if provenance is not None and listing and provenance.listing == digest_of(listing):
        return InputStore(uri, provenance.digest)
    metadata = _metadata(uri)
    if metadata is None and not listing:
        raise StoreProblem(
            f"There is no store at {uri}.",
            suggestion="Pass the URI of a store made by build_mosaics or predict_mosaic.",
        )
    digest = digest_of({"metadata": metadata, "objects": listing})
    return InputStore(uri, digest, certain=bool(listing))


def changed_since(inputs: Sequence[InputStore]) -> list[str]:
    """Return the URIs of inputs that are gone, or not what they were when they were identified."""
    return [each.uri for each in inputs if _digest_now(each.uri) != each.digest]


def _digest_now(uri: str) -> str | None:
    try:
        return identify(uri).digest
    except StoreProblem:
        return None


def _metadata(uri: str) -> Any:
    """Return the store's root document; None for an older format, which keeps it elsewhere."""
    try:
        return json.loads(objects.read_bytes(objects.join(uri, "zarr.json")))
    except (StoreProblem, ValueError):
        return None


def _listing(uri: str) -> Listing:
    """Return path, size and etag of every object but the companions.

    Raises:
        StoreProblem: The store does not answer.
    """
    return sorted(
        (entry.path, entry.size, entry.etag)
        for entry in objects.describe_objects(uri)
        if not entry.path.startswith(f"{FOLDER}/")
    )
