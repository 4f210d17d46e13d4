"""Secrets as they are kept: by digest, and by a preview for people."""

from __future__ import annotations

import hashlib
import secrets

_PREVIEW = 6, 4


def new_secret(prefix: str) -> str:
    """Return a new random secret of 256 bits that starts with `prefix`."""
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Return the SHA-256 of a random secret in hex; what is random needs no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def preview(secret: str) -> str:
    """Return the ends of a secret, `abc123...wxyz`: enough to know it by, too little to use."""
    head, tail = _PREVIEW
    return f"{secret[:head]}...{secret[-tail:]}"
