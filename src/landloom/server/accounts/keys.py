"""API keys: made, listed, revoked, and recognised by their digest."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from landloom.errors import NotFound, Unauthorized
from landloom.server.accounts import repository
from landloom.server.accounts.tables import ApiKey
from landloom.server.db.session import Database
from landloom.server.kit import digests
from landloom.server.kit.clock import now
from landloom.server.kit.ids import new_id

PREFIX: Final = "ll_"
"""Begins every key, so that leaked ones can be searched for."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request."""

    organization_id: str
    user_id: str
    key_id: str
    run_id: str | None
    """The run whose own key this is; None for a person's key."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. Its clear text is nowhere else."""

    id: str
    key: str = field(repr=False)
    preview: str


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key as it is listed."""

    id: str
    user_id: str
    name: str
    preview: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @property
    def valid(self) -> bool:
        """Whether it opens anything now."""
        return _is_valid(self.expires_at, self.revoked_at)


class Keys:
    """The keys of all organizations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recognise(self, key: str) -> Caller:
        """Return who owns a key.

        Raises:
            Unauthorized: It is unknown, revoked or expired.
        """
        async with self._database.reading(None) as session:
            row = await repository.key_by_digest(session, digests.digest(key))
        if row is None or not _is_valid(row.expires_at, row.revoked_at):
            raise Unauthorized(
                "The API key is not known here, or it was revoked or has expired.",
                suggestion="Use the WHEROBOTS_API_KEY of the platform's connection.env.",
            )
        return Caller(row.organization_id, row.user_id, row.id, row.run_id)

    async def create(
        self,
        *,
        organization_id: str,
        user_id: str,
        name: str,
        expires_at: datetime | None = None,
        run_id: str | None = None,
    ) -> NewKey:
        """Make a key for a user, or for one of the user's runs."""
        async with self._database.writing(organization_id) as session:
            return add_key(
                session,
                organization_id=organization_id,
                user_id=user_id,
                name=name,
                expires_at=expires_at,
                run_id=run_id,
            )

    async def list(self, organization_id: str, *, user_id: str | None = None) -> list[KeyView]:
        """Return the keys of an organization, or of one user in it, newest first."""
        async with self._database.reading(organization_id) as session:
            rows = await repository.keys(session, user_id)
        return [_view(row) for row in rows]

    async def revoke(
        self, organization_id: str, key_id: str, *, user_id: str | None = None
    ) -> KeyView:
        """Revoke a key; one that is revoked already stays so. `user_id` keeps to that user's keys.

        Raises:
            NotFound: There is no such key.
        """
        async with self._database.writing(organization_id) as session:
            row = await repository.key_by_id(session, key_id)
            if row is None or (user_id is not None and row.user_id != user_id):
                raise NotFound(f"There is no API key {key_id!r}.")
            if row.revoked_at is None:
                row.revoked_at = row.updated_at = now()
            return _view(row)


def add_key(
    session: AsyncSession,
    *,
    organization_id: str,
    user_id: str,
    name: str,
    expires_at: datetime | None = None,
    run_id: str | None = None,
) -> NewKey:
    """Add a key's row to a session; its clear text is only in what this returns."""
    key = digests.new_secret(PREFIX)
    made_at = now()
    row = ApiKey(
        id=new_id(),
        created_at=made_at,
        updated_at=made_at,
        organization_id=organization_id,
        user_id=user_id,
        run_id=run_id,
        name=name,
        digest=digests.digest(key),
        preview=digests.preview(key),
        expires_at=expires_at,
    )
    session.add(row)
    return NewKey(row.id, key, row.preview)


def _view(row: ApiKey) -> KeyView:
    return KeyView(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        preview=row.preview,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def _is_valid(expires_at: datetime | None, revoked_at: datetime | None) -> bool:
    return revoked_at is None and (expires_at is None or expires_at > now())
