"""The one secret of an instance, and the keys that are derived from it.

Object-store keys are never stored: anyone who holds the master secret can derive them again, and
whoever reads the database finds none.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from landloom.errors import SetupProblem
from landloom.stack.files import write_private

_BYTES = 32


@dataclass(frozen=True, slots=True)
class MasterSecret:
    """32 random bytes that every other secret of an instance follows from."""

    value: bytes = field(repr=False)

    @classmethod
    def ensure(cls, path: Path) -> MasterSecret:
        """Read the secret from `path`, or make one there that its owner alone can read.

        Raises:
            SetupProblem: The file is there and does not hold a secret.
        """
        if not path.exists():
            write_private(path, secrets.token_hex(_BYTES) + "\n")
        try:
            value = bytes.fromhex(path.read_text().strip())
        except (OSError, ValueError) as error:
            raise SetupProblem(
                f"{path} cannot be read as the instance's secret.",
                suggestion="Restore it from a backup; the store's keys follow from it.",
            ) from error
        if len(value) != _BYTES:
            raise SetupProblem(
                f"{path} holds {len(value)} bytes, not {_BYTES}.",
                suggestion="Restore it from a backup; the store's keys follow from it.",
            )
        return cls(value)

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes that only this secret and this purpose give (HMAC-SHA-256)."""
        return hmac.new(self.value, purpose.encode(), hashlib.sha256).digest()

    def access_key(self, name: str) -> str:
        """Return the access key of an object-store identity: 20 letters and digits."""
        return base64.b32encode(self.derive(f"access-key:{name}"))[:20].decode()

    def secret_key(self, name: str) -> str:
        """Return the secret key of an object-store identity: 40 hexadecimal digits."""
        return self.derive(f"secret-key:{name}").hex()[:40]
