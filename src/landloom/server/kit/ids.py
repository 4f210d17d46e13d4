"""Ids: short, random, safe in a URL and in a file name."""

from __future__ import annotations

import secrets
import string
from typing import Final

_ALPHABET: Final = string.ascii_lowercase + string.digits
_LENGTH: Final = 14
"""36^14 is more than 72 bits: no two will meet."""


def new_id(length: int = _LENGTH) -> str:
    """Return a new id of lower-case letters and digits, a letter first."""
    first = secrets.choice(string.ascii_lowercase)
    return first + "".join(secrets.choice(_ALPHABET) for _ in range(length - 1))
