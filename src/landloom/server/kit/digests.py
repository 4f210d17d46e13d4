"""Secrets as they are kept: by digest, and by a preview for people."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

_PREVIEW = 6, 4

PREFIX: Final = "ll_"
"""Begins every key, so that leaked ones can be searched for, here and elsewhere."""

_SECRET: Final = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{20,}}")


def new_secret() -> str:
    """Return a new random secret of 256 bits that starts with `PREFIX`."""
    return PREFIX + secrets.token_urlsafe(32)


def without_secrets(text: str) -> str:
    """Return a text with every key in it cut to its preview, wherever somebody put one."""
    if PREFIX not in text:
        return text
    return _SECRET.sub(lambda found: preview(found.group()), text)


def digest(secret: str) -> str:
    """Return the SHA-256 of a random secret in hex; what is random needs no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def preview(secret: str) -> str:
    """Return the ends of a secret, `abc123...wxyz`: enough to know it by, too little to use."""
    head, tail = _PREVIEW
    return f"{secret[:head]}...{secret[-tail:]}"
