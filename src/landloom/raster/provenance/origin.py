"""What an output is made of: everything that its pixels or polygons depend on, and nothing else.

An origin can be carried out (`methods.making`), so it is at once the recipe for a rerun, the key of
the cache, and, as a digest, the identity by which outputs made of this output know it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

type What = Literal["mosaic", "prediction", "polygons", "geometries", "change", "multiscales"]
"""Kinds of outputs."""

OWN_RASTERS = "own_rasters"
"""Parameter of a mosaic: what the caller's own rasters hold, see `rasters.own_rasters`."""


@dataclass(frozen=True, slots=True)
class InputStore:
    """A store that an output is made of."""

    uri: str
    digest: str
    """That of its record; for a store of others, of its metadata and the list of its objects."""
    certain: bool = True
    """Whether the digest would change with any pixel: not where a store cannot be listed."""


@dataclass(frozen=True, slots=True)
class UsedModel:
    """A model file, known by its content."""

    href: str
    sha256: str
    recipe: str | None = None
    """The recipe that named it, if one did: a file registered under this name is preferred."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What an output is made of."""

    what: What
    engine: str
    """See `engine_version`."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """JSON values."""
    inputs: tuple[InputStore, ...] = ()
    model: UsedModel | None = None
    scenes_sha256: str | None = None
    """Of a mosaic: the digest of its frozen plan, datasets and grid included."""

    @property
    def digest(self) -> str:
        """Return the identity: equal origins give equal pixels, wherever inputs and model lie."""
        said = {
            "what": self.what,
            "engine": self.engine,
            "parameters": self.parameters,
            "inputs": [each.digest for each in self.inputs],
            "model": None if self.model is None else self.model.sha256,
            "scenes": self.scenes_sha256,
        }
        return digest_of(said)

    @property
    def certain(self) -> bool:
        """Whether the digest would change with any pixel of any input or raster of the caller's."""
        rasters = self.parameters.get(OWN_RASTERS) or {}
        return all(each.certain for each in self.inputs) and None not in rasters.values()

    def to_json(self) -> dict[str, Any]:
        """Return the origin as JSON values."""
        return {**asdict(self), "inputs": [asdict(each) for each in self.inputs]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the origin that `to_json` wrote."""
        model = document["model"]
        return cls(
            what=document["what"],
            engine=document["engine"],
            parameters=document["parameters"],
            inputs=tuple(InputStore(**each) for each in document["inputs"]),
            model=None if model is None else UsedModel(**model),
            scenes_sha256=document["scenes_sha256"],
        )


def digest_of(document: Any) -> str:
    """Return the sha256 of a JSON value; the order of keys is no matter."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
