"""The record that lies in each output: what it is made of, by whose request, by which code, when.

All of it lies in the output's folder `_landloom`, which readers of Zarr and Parquet pass over:
`scenes.json`, `item.json`, and at last `provenance.json`, so that an output with a record is whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from pydantic_core import to_json

from landloom.errors import StoreProblem
from landloom.raster.provenance.origin import Origin, digest_of
from landloom.raster.provenance.versions import versions
from landloom.raster.store import objects
from landloom.raster.store.companions import companion

PROVENANCE, SCENES, ITEM = "provenance.json", "scenes.json", "item.json"

FORMAT = 1
"""Version of the record's own layout."""

type Scenes = dict[str, Any]
"""A mosaic's plan as JSON, or `{"inputs": [Scenes | None, ...]}` of what an output is made of."""


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an output comes from."""

    origin: Origin
    request: Mapping[str, Any]
    """What was asked for, as it travelled."""
    seed: str
    """The workflow's id."""
    number: int = 0
    """Which of the workflow's outputs of this kind it is: the AOI row, from 0."""
    catalogue: Mapping[str, Any] = field(default_factory=dict)
    """The recipe and the names of the datasets, as the catalogue had them."""
    inputs: tuple[Mapping[str, Any] | None, ...] = ()
    """The records of the inputs, in order; None for a store of others."""
    skipped: tuple[str, ...] = ()
    """What was left out, by name as far as named."""
    skipped_rasters: int = 0
    changed: tuple[str, ...] = ()
    """Inputs that changed while they were read."""
    listing: str | None = None
    """What lies at the output, see `listing_of`; None in records of earlier versions."""
    versions: Mapping[str, str] = field(default_factory=versions)
    made_at: datetime = field(default_factory=_now)

    @property
    def digest(self) -> str:
        """Return the identity of the output: its origin's, unless something was left out.

        Where nobody knows what exactly was read, no other output has the same.
        """
        if self.changed or not self.origin.certain:
            moment = self.made_at.isoformat()
            return digest_of([self.origin.digest, list(self.changed), self.seed, moment])
        if not self.skipped_rasters:
            return self.origin.digest
        return digest_of([self.origin.digest, self.skipped_rasters, list(self.skipped)])

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return {
            "format": FORMAT,
            "digest": self.digest,
            "made_at": self.made_at.isoformat(),
            "origin": self.origin.to_json(),
            "request": dict(self.request),
            "seed": self.seed,
            "number": self.number,
            "catalogue": dict(self.catalogue),
            "inputs": list(self.inputs),
            "skipped": list(self.skipped),
            "skipped_rasters": self.skipped_rasters,
            "changed": list(self.changed),
            "listing": self.listing,
            "versions": dict(self.versions),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the record that `to_json` wrote."""
        return cls(
            origin=Origin.from_json(document["origin"]),
            request=document["request"],
            seed=document["seed"],
            number=int(document["number"]),
            catalogue=document["catalogue"],
            inputs=tuple(document["inputs"]),
            skipped=tuple(document["skipped"]),
            skipped_rasters=int(document["skipped_rasters"]),
            changed=tuple(document.get("changed", ())),
            listing=document.get("listing"),
            versions=document["versions"],
            made_at=datetime.fromisoformat(document["made_at"]),
        )


def read_provenance(uri: str) -> Provenance | None:
    """Return the record of the output at `uri`, or None where there is none.

    Raises:
        StoreProblem: It is there and cannot be read, or is of a later format.
    """
    where = companion(uri, PROVENANCE)
    document = read_document(where)
    if document is None:
        return None
    try:
        if document["format"] != FORMAT:
            raise StoreProblem(
                f"{where} has format {document['format']}; this engine reads {FORMAT}.",
                suggestion="Use the Landloom that wrote it.",
            )
        return Provenance.from_json(document)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreProblem(f"{where} is not a record of Landloom: {error!r}.") from error


def read_document(uri: str) -> dict[str, Any] | None:
    """Return a JSON object, or None where there is none.

    Raises:
        StoreProblem: It cannot be read, or is not one.
    """
    if not objects.exists(uri):
        return None
    try:
        document = json.loads(objects.read_bytes(uri))
    except ValueError as error:
        raise StoreProblem(f"{uri} is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise StoreProblem(f"{uri} holds no JSON object.")
    return document


def read_scenes(uri: str) -> Scenes | None:
    """Return the frozen scenes that lie in an output, or None."""
    return read_document(companion(uri, SCENES))


def write_document(uri: str, document: Mapping[str, Any]) -> None:
    """Write a JSON object; it appears at once or not at all."""
    # Python's own encoder takes eight times as long where lines are to be indented.
    objects.write_bytes(uri, to_json(document, indent=1, inf_nan_mode="constants"))
