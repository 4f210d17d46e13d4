"""Text of requests: what every database and every process can be given."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


def plain(text: str) -> str:
    """Return the text.

    Raises:
        ValueError: It holds a NUL character, or half of a surrogate pair.
    """
    if "\0" in text:
        raise ValueError("must not hold a NUL character: no process can be given one")
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        raise ValueError("must not hold half of a surrogate pair: it is no character") from problem
    return text


type PlainText = Annotated[str, AfterValidator(plain)]
"""Text without what cannot be stored."""
