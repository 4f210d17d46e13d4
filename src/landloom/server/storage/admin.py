"""What the server needs of an object store beyond S3 itself: buckets and users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys to an object store: a user's own, or temporary ones that reach less."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    """Goes with temporary keys; None with keys that last."""
    expires_at: datetime | None = None


class ObjectStoreAdmin(Protocol):
    """Makes buckets and users. Both calls are idempotent and safe to repeat at any time."""

    async def ensure_bucket(self, name: str) -> None:
        """Make the bucket unless it is there.

        Raises:
            Unavailable: The store does not answer.
        """

    async def ensure_user(
        self, user_id: str, *, bucket: str, read_write: Sequence[str]
    ) -> Credentials:
        """Make the user unless it is there, with rights on these prefixes of `bucket` and no more.

        The same user always gets the same keys: they are derived, never stored by the server.

        Raises:
            Unavailable: The store does not answer.
        """
