"""The base of every wire value: frozen, strict about its own fields, forgiving about new ones."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class WireModel(BaseModel):
    """A frozen value on the wire. Unknown fields are ignored, so old and new sides can talk."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())
