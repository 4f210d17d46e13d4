"""The cache of outputs: what is made of the same things, by the same engine, is made once.

An entry is a small file in the caller's own folder, so users never share, and it points to an
output that a workflow has published whole. The entry is written last of all: a workflow that is
killed leaves none. A hit is held against what lies there now, so an output that was deleted,
overwritten, thinned out or changed in place is made anew. Two workflows that make the same thing at
the same time both write the entry, and either is right.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from landloom.errors import StoreProblem
from landloom.raster.made import Made
from landloom.raster.provenance import state_of, valid_record
from landloom.raster.store import objects
from landloom.wire.model import WireModel


class _Entry(WireModel):
    """What the cache remembers of an output."""

    made: Made
    digest: str | None
    """That of the output's record; None for a single object, such as an index, without one."""
    state: str | None
    """Of a single object: what changes with its bytes."""


@dataclass(frozen=True, slots=True)
class Cache:
    """Entries below one folder."""

    folder: str
    """URI, ending in `/`."""

    def find(self, key: str) -> Made | None:
        """Return the output that was remembered under `key`, if it is still there, whole.

        Anything that keeps the answer from being certain is no hit: building anew is always right.
        """
        try:
            uri = self._uri(key)
            if not objects.exists(uri):
                return None
            entry = _Entry.model_validate_json(objects.read_bytes(uri))
            whole = _there(entry)
        except (StoreProblem, ValidationError):
            return None
        return entry.made.model_copy(update={"cached": True}) if whole else None

    def put(self, key: str, made: Made, digest: str | None = None) -> None:
        """Remember an output that is whole.

        Args:
            key: What it is made of.
            made: The output.
            digest: That of its record; None for a single object, which carries none.

        Raises:
            StoreProblem: The entry cannot be written.
        """
        state = state_of(made.uri) if digest is None else None
        entry = _Entry(made=made, digest=digest, state=state)
        objects.write_bytes(self._uri(key), entry.model_dump_json(indent=1).encode())

    def _uri(self, key: str) -> str:
        return f"{self.folder}{key[:2]}/{key}.json"


def _there(entry: _Entry) -> bool:
    """Tell whether an output is as it was when it was remembered."""
    uri = entry.made.uri
    if entry.digest is None:
        return entry.state is not None and state_of(uri) == entry.state
    provenance = valid_record(uri)
    return provenance is not None and provenance.digest == entry.digest
