"""What a request says in its own words, held to what JSON can carry, whether it travels or not.

A request is run where it is made, or on a server. So what cannot travel is refused before either,
and a number of whatever library is made a plain one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer


class _Unsayable(ValueError):
    """What JSON cannot carry, and where it stands."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.path: list[str] = []
        """The innermost key first."""

    def __str__(self) -> str:
        return ": ".join(filter(None, [".".join(reversed(self.path)), self.what]))


def plain(value: Any) -> Any:
    """Return a value as JSON has it: numbers of numpy as Python's, tuples and arrays as lists.

    Raises:
        ValueError: It is, or holds, what JSON cannot carry; the message names the place.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        raise _Unsayable(f"{value} is no number that JSON can carry")
    if isinstance(value, Mapping):
        return dict(_members(value.items()))
    if hasattr(value, "tolist"):  # arrays of numpy, and what one holds
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [each for _, each in _members(enumerate(value))]
    raise _Unsayable(f"a {type(value).__name__} is nothing that JSON can carry")


def _members(given: Iterable[tuple[Any, Any]]) -> Iterable[tuple[Any, Any]]:
    name: Any = ""
    try:
        for name, value in given:
            if not isinstance(name, str | int):
                raise _Unsayable("the key is no text")
            yield name, plain(value)
    except _Unsayable as problem:
        problem.path.append(str(name))
        raise


def plain_object(value: Any) -> Any:
    """Return a mapping as a JSON object; anything else is left to the field's own type.

    Raises:
        ValueError: It holds what JSON cannot carry.
    """
    return plain(value) if isinstance(value, Mapping) else value


def distinct(names: list[str]) -> list[str]:
    """Return names as they are.

    Raises:
        ValueError: One is there twice.
    """
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ValueError(f"{name!r} is named twice")
    return names


FreeForm = Annotated[dict[str, Any], BeforeValidator(plain_object)]
"""An object whose keys only the engine knows."""


def _said(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)


type AnyNumber = Annotated[float | None, PlainSerializer(_said, when_used="json")]
"""A number, which may be infinite or none at all: what JSON has no number for travels as text."""
