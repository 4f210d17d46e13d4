"""What the server needs of an object store beyond S3 itself: buckets, users, keys to lend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from landloom.server.storage.scopes import Scope


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys to an object store: a user's own, or temporary ones that reach less."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    """Goes with temporary keys; None with keys that last."""
    expires_at: datetime | None = None


class ObjectStoreAdmin(Protocol):
    """Makes buckets and users, which is safe to repeat at any time, and lends keys."""

    @property
    def can_scope(self) -> bool:
        """Whether the store holds users to their prefixes; otherwise all have the same keys."""

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

    async def withdraw_user(self, user_id: str) -> None:
        """Take all rights from the user's keys, until `ensure_user` gives them again.

        Temporary keys work on to their end. A user that the store never knew does not matter.

        Raises:
            Unavailable: The store does not answer.
        """

    async def lend(self, scope: Scope, *, seconds: int | None = None) -> Credentials:
        """Return temporary keys that reach a scope and nothing else.

        Args:
            scope: What they reach.
            seconds: How long they last, 900 to 43,200; None is as long as the store likes.

        Raises:
            InvalidInput: The scope cannot be told to the store.
            Unavailable: The store does not answer, or cannot lend keys.
        """
