"""Bodies of the Runs API: camelCase names, instants of one width."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class CamelModel(BaseModel):
    """A value with camelCase names on the wire; unknown fields of requests are ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        protected_namespaces=(),
    )

    def wire(self) -> dict[str, Any]:
        """Return the value as it stands in JSON."""
        return self.model_dump(mode="json", by_alias=True)


class CamelAnswer(CamelModel):
    """A value of answers alone: its fields are always there, those with defaults too."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)
