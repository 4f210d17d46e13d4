"""Secrets at rest: sealed by AES-256-GCM with a key that the database never sees.

A sealed text is `v1.<key's name>.<base64url of nonce and ciphertext>`. It opens only with the same
key and for the same place, so a sealed secret that is copied into another row opens nothing there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from landloom.errors import SetupProblem, Unavailable

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
"""NIST SP 800-38D; a random one is safe for 2^32 secrets a key."""
_VERSION: Final = "v1"
_WAY_OUT: Final = (
    "Start the server with the key that it was sealed with (LANDLOOM_SECRET_KEY or"
    " LANDLOOM_SECRET_KEY_FILE), or register it anew."
)


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals and opens with one key."""

    key: bytes = field(repr=False)

    @classmethod
    def from_text(cls, text: str, *, origin: str) -> Self:
        """Return the sealer of a key in hexadecimal digits.

        Args:
            text: 64 digits.
            origin: Where it is from, for messages; the key itself is never in one.

        Raises:
            SetupProblem: It is no such key.
        """
        try:
            key = bytes.fromhex(text.strip())
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise SetupProblem(
                f"{origin} does not hold a key of {2 * KEY_BYTES} hexadecimal digits.",
                suggestion="Restore it; `openssl rand -hex 32` makes a new one.",
            )
        return cls(key)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Return the sealer of the key in a file, which is made if it is not there.

        Raises:
            SetupProblem: It cannot be read or made, or holds no key.
        """
        try:
            if not path.exists():
                _make_key(path)
            return cls.from_text(path.read_text(encoding="ascii"), origin=str(path))
        except (OSError, UnicodeError) as problem:
            raise SetupProblem(
                f"The key of secrets at rest cannot be read from {path}: {problem}.",
                suggestion="Name a readable file with LANDLOOM_SECRET_KEY_FILE.",
            ) from problem

    @property
    def name(self) -> str:
        """Tells this key from others and nothing about it: 8 digits of its SHA-256."""
        return hashlib.sha256(self.key).hexdigest()[:8]

    def seal(self, secret: str, *, place: str) -> str:
        """Return `secret` sealed for one place, such as the row that keeps it."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(self.key).encrypt(nonce, secret.encode(), place.encode())
        return f"{_VERSION}.{self.name}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, *, place: str) -> str:
        """Return what was sealed.

        Raises:
            Unavailable: It was sealed with another key, for another place, or was changed.
        """
        version, _, rest = sealed.partition(".")
        name, _, text = rest.partition(".")
        if version == _VERSION and name != self.name:
            raise Unavailable(
                f"The secret of {place} was sealed with the key {name}; this server's is"
                f" {self.name}.",
                suggestion=_WAY_OUT,
            )
        try:
            data = base64.urlsafe_b64decode(text)
            nonce, ciphertext = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
            return AESGCM(self.key).decrypt(nonce, ciphertext, place.encode()).decode()
        except (InvalidTag, ValueError, binascii.Error) as problem:
            raise Unavailable(
                f"The secret of {place} cannot be opened.", suggestion=_WAY_OUT
            ) from problem


def _make_key(path: Path) -> None:
    """Put a new key at `path`, whole or not at all; of two that try at once, one wins for both."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        Path(draft).unlink()
