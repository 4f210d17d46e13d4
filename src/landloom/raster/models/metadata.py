"""What `mlm-metadata` says: YAML properties of the STAC extension "Machine Learning Model"."""

from __future__ import annotations

import importlib
from typing import Any

AXES = 4
"""Batch, channel, y, x."""


def metadata_counts(text: str | None) -> tuple[int | None, int | None]:
    """Return how many input bands and output classes `mlm-metadata` names; None if it is silent."""
    properties = _parse(text)
    return (
        _length(properties, "mlm:input", "bands"),
        _length(properties, "mlm:output", "classification:classes"),
    )


def metadata_shape(text: str | None) -> tuple[int | None, ...] | None:
    """Return the input shape (batch, channel, y, x) that `mlm-metadata` names.

    None is any size; None for all is a file that does not say.
    """
    described = _first(_parse(text), "mlm:input").get("input")
    shape = described.get("shape") if isinstance(described, dict) else None
    if not isinstance(shape, list) or len(shape) != AXES:
        return None
    return tuple(size if isinstance(size, int) and size > 0 else None for size in shape)


def _parse(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        yaml: Any = importlib.import_module("yaml")
        loaded = yaml.safe_load(text)
    except Exception:  # noqa: BLE001 - metadata only confirm what the programs' own sizes say
        return {}
    properties = loaded.get("properties", loaded) if isinstance(loaded, dict) else {}
    return properties if isinstance(properties, dict) else {}


def _length(properties: dict[str, Any], key: str, member: str) -> int | None:
    first = _first(properties, key)
    items = first.get(member, first.get(member.rsplit(":", maxsplit=1)[-1]))
    return len(items) if isinstance(items, list) and items else None


def _first(properties: dict[str, Any], key: str) -> dict[str, Any]:
    value = properties.get(key, properties.get(key.removeprefix("mlm:")))
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, dict) else {}
