"""API keys: made, listed, revoked, and recognised by their digest."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from landloom.errors import AccountClosed, Conflict, InvalidInput, NotFound, Unauthorized
from landloom.server.accounts import repository
from landloom.server.accounts.repository import KeyFacts
from landloom.server.accounts.rights import RUN_LIMITS, Rights
from landloom.server.accounts.tables import ACTIVE, ApiKey
from landloom.server.db.recent import Recent
from landloom.server.db.session import Database
from landloom.server.kit import digests
from landloom.server.kit.clock import now
from landloom.server.kit.ids import new_id


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request."""

    organization_id: str
    user_id: str
    key_id: str
    run_id: str | None
    """The run whose own key this is; None for a person's key."""
    rights: Rights = field(default_factory=Rights)
    operates: bool = False
    """Whether it belongs to the organization that runs the platform."""


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
    updated_at: datetime
    created_by_id: str | None

    @property
    def valid(self) -> bool:
        """Whether it opens anything now."""
        return _is_valid(self.expires_at, self.revoked_at)


class Keys:
    """The keys of all organizations."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._recent: Recent[str, _Known] = Recent(database)

    async def recognise(self, key: str) -> Caller:
        """Return who owns a key.

        Raises:
            Unauthorized: It is unknown, revoked or expired.
            AccountClosed: Its owner or the organization is switched off.
        """
        digest = digests.digest(key)
        known = (await self._recent.get([digest], self._look_up)).get(digest)
        if known is None or not _is_valid(known.facts.expires_at, known.facts.revoked_at):
            raise Unauthorized(
                "The API key is not known here, or it was revoked or has expired.",
                suggestion="Use the WHEROBOTS_API_KEY of the platform's connection.env.",
            )
        if not known.facts.is_open:
            raise AccountClosed(
                "The account of this API key is switched off.",
                suggestion="Ask an administrator of your organization, or the platform's operator.",
            )
        return known.caller

    async def _look_up(self, wanted: Collection[str]) -> dict[str, _Known]:
        found = {}
        async with self._database.glancing(None) as session:
            for digest in wanted:
                facts = await repository.key_by_digest(session, digest)
                if facts is not None:
                    found[digest] = _Known(facts, _caller(facts))
        return found

    async def create(
        self,
        *,
        organization_id: str,
        user_id: str,
        name: str,
        expires_at: datetime | None = None,
        run_id: str | None = None,
        created_by_id: str | None = None,
    ) -> NewKey:
        """Make a key for a user, or for one of the user's runs.

        Raises:
            InvalidInput: The organization has no such user, or the key would open nothing.
            AccountClosed: The user is switched off.
        """
        if expires_at is not None and expires_at <= now():
            raise _past(expires_at)
        async with self._database.writing(organization_id) as session:
            owner = await repository.find_user(session, user_id)
            if owner is None:
                raise InvalidInput(f"The organization has no user {user_id!r}.", field="ownedById")
            organization = await repository.organization(session, organization_id)
            if owner.disabled_at is not None or organization.state != ACTIVE:
                raise AccountClosed(
                    f"The account of {owner.name or user_id} is switched off.",
                    suggestion="`landloom users enable` or `landloom orgs resume` switches it on.",
                )
            return add_key(
                session,
                organization_id=organization_id,
                user_id=user_id,
                name=name,
                expires_at=expires_at,
                run_id=run_id,
                created_by_id=created_by_id,
            )

    async def list(self, organization_id: str, *, user_id: str | None = None) -> list[KeyView]:
        """Return the keys of an organization, or of one user in it, newest first."""
        async with self._database.reading(organization_id) as session:
            rows = await repository.keys(session, user_id)
        return [_view(row) for row in rows]

    async def prolong(
        self, organization_id: str, key_id: str, expires_at: datetime, *, user_id: str | None = None
    ) -> KeyView:
        """Set another end of a key. `user_id` keeps to that user's keys.

        Raises:
            NotFound: There is no such key.
            Conflict: It was revoked, which no new end undoes.
            InvalidInput: The end lies in the past.
        """
        if expires_at <= now():
            raise _past(expires_at)
        async with self._database.writing(organization_id) as session:
            row = await _find(session, key_id, user_id)
            if row.revoked_at is not None:
                raise Conflict(
                    f"The API key {row.preview} was revoked.", suggestion="Make a new one."
                )
            row.expires_at, row.updated_at = expires_at, now()
            return _view(row)

    async def revoke(
        self, organization_id: str, key_id: str, *, user_id: str | None = None
    ) -> KeyView:
        """Revoke a key; one that is revoked already stays so. `user_id` keeps to that user's keys.

        Raises:
            NotFound: There is no such key.
        """
        async with self._database.writing(organization_id) as session:
            row = await _find(session, key_id, user_id)
            if row.revoked_at is None:
                row.revoked_at = row.updated_at = now()
            return _view(row)


@dataclass(frozen=True, slots=True)
class _Known:
    """A key, and whom it lets in while it is valid."""

    facts: KeyFacts
    caller: Caller


def _caller(facts: KeyFacts) -> Caller:
    rights = Rights.of(facts.policies)
    if facts.run_id is not None:
        rights = rights.and_also(RUN_LIMITS)
    return Caller(
        facts.organization_id, facts.user_id, facts.id, facts.run_id, rights, facts.operates
    )


def add_key(
    session: AsyncSession,
    *,
    organization_id: str,
    user_id: str,
    name: str,
    expires_at: datetime | None = None,
    run_id: str | None = None,
    created_by_id: str | None = None,
) -> NewKey:
    """Add a key's row to a session; its clear text is only in what this returns."""
    key = digests.new_secret()
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
        created_by_id=created_by_id or user_id,
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
        updated_at=row.updated_at,
        created_by_id=row.created_by_id,
    )


async def _find(session: AsyncSession, key_id: str, user_id: str | None) -> ApiKey:
    row = await repository.key_by_id(session, key_id)
    if row is None or (user_id is not None and row.user_id != user_id):
        raise NotFound(f"There is no API key {key_id!r}.", suggestion="List them with GET /apikey.")
    return row


def _past(expires_at: datetime) -> InvalidInput:
    return InvalidInput(
        f"expiresAt: {expires_at:%Y-%m-%d %H:%M:%S} UTC lies in the past.", field="expiresAt"
    )


def _is_valid(expires_at: datetime | None, revoked_at: datetime | None) -> bool:
    return revoked_at is None and (expires_at is None or expires_at > now())
