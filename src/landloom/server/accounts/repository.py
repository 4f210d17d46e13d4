"""Queries on organizations, users, roles and API keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import and_, bindparam, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from landloom.server.accounts.tables import (
    ACTIVE,
    ApiKey,
    Organization,
    Role,
    User,
    user_roles,
)
from landloom.server.kit.clock import now


async def first_organization(session: AsyncSession) -> Organization | None:
    """Return the oldest organization."""
    query = select(Organization).order_by(Organization.created_at, Organization.id).limit(1)
    return (await session.scalars(query)).first()


async def first_user(session: AsyncSession, organization_id: str) -> User | None:
    """Return the oldest user of an organization: the one that was made with it."""
    query = (
        select(User)
        .where(User.organization_id == organization_id)
        .order_by(User.created_at, User.id)
        .limit(1)
    )
    return (await session.scalars(query)).first()


async def organization(session: AsyncSession, organization_id: str) -> Organization:
    """Return an organization that is known to exist."""
    return (
        await session.scalars(select(Organization).where(Organization.id == organization_id))
    ).one()


async def user(session: AsyncSession, user_id: str) -> User:
    """Return a user that is known to exist."""
    return (await session.scalars(select(User).where(User.id == user_id))).one()


async def find_user(session: AsyncSession, user_id: str) -> User | None:
    """Return one of the session's users, unless it was removed."""
    query = select(User).where(User.id == user_id, User.deleted_at.is_(None))
    return (await session.scalars(query)).first()


async def find_organization(session: AsyncSession, organization_id: str) -> Organization | None:
    """Return an organization."""
    query = select(Organization).where(Organization.id == organization_id)
    return (await session.scalars(query)).first()


async def organizations(session: AsyncSession) -> Sequence[tuple[Organization, int]]:
    """Return all organizations, oldest first, each with the number of its principals."""
    query = (
        select(Organization, func.count(User.id))
        .outerjoin(User, and_(User.organization_id == Organization.id, User.deleted_at.is_(None)))
        .group_by(Organization.id)
        .order_by(Organization.created_at, Organization.id)
    )
    return [(row[0], int(row[1])) for row in (await session.execute(query)).all()]


async def count_active(session: AsyncSession) -> int:
    """Return how many principals the platform has that are not switched off."""
    query = select(func.count(User.id)).where(User.deleted_at.is_(None), User.disabled_at.is_(None))
    return int((await session.scalars(query)).one())


async def shut_out(session: AsyncSession, organization_id: str | None = None) -> Sequence[str]:
    """Return the principals who may do nothing: switched off, removed, or of no open organization.

    Args:
        session: Not bound to an organization.
        organization_id: Only those of this one.
    """
    query = (
        select(User.id)
        .join(Organization, Organization.id == User.organization_id)
        .where(
            or_(
                User.disabled_at.is_not(None),
                User.deleted_at.is_not(None),
                Organization.state != ACTIVE,
            )
        )
    )
    if organization_id is not None:
        query = query.where(User.organization_id == organization_id)
    return (await session.scalars(query)).all()


async def holder(session: AsyncSession, user_id: str) -> tuple[Organization, bool]:
    """Return the organization of a principal, and whether neither of them is switched off."""
    query = (
        select(Organization, User.disabled_at, User.deleted_at)
        .join(User, User.organization_id == Organization.id)
        .where(User.id == user_id)
    )
    row = (await session.execute(query)).one()
    return row[0], row[1] is None and row[2] is None and row[0].state == ACTIVE


async def principals_of(session: AsyncSession, organization_id: str) -> int:
    """Return how many principals an organization has, the removed ones not counted."""
    query = (
        select(func.count())
        .select_from(User)
        .where(User.organization_id == organization_id, User.deleted_at.is_(None))
    )
    return int((await session.scalars(query)).one())


async def users_by_id(session: AsyncSession, user_ids: Collection[str]) -> Sequence[User]:
    """Return these users, with their roles."""
    return (await session.scalars(select(User).where(User.id.in_(user_ids)))).all()


async def user_versions(
    session: AsyncSession, user_ids: Collection[str]
) -> dict[str, tuple[Any, ...]]:
    """Return for each of these users what changes whenever it, or one of its roles, does."""
    versions: dict[str, tuple[Any, ...]] = {}
    for row in (await session.execute(_VERSIONS, {"ids": list(user_ids)})).all():
        versions[row.id] = (*versions.get(row.id, (row.updated_at,)), row.role_id, row.role_at)
    return versions


_VERSIONS: Final = (
    select(User.id, User.updated_at, Role.id.label("role_id"), Role.updated_at.label("role_at"))
    .outerjoin(user_roles, user_roles.c.user_id == User.id)
    .outerjoin(Role, Role.id == user_roles.c.role_id)
    .where(User.id.in_(bindparam("ids", expanding=True)))
    .order_by(User.id, Role.id)
)


async def role_named(session: AsyncSession, organization_id: str, name: str) -> Role | None:
    """Return an organization's role of this name."""
    query = select(Role).where(Role.organization_id == organization_id, Role.name == name)
    return (await session.scalars(query)).first()


async def users(session: AsyncSession) -> Sequence[User]:
    """Return the session's users but the removed ones, oldest first."""
    query = select(User).where(User.deleted_at.is_(None)).order_by(User.created_at, User.id)
    return (await session.scalars(query)).all()


async def everybody(session: AsyncSession) -> Sequence[User]:
    """Return the session's users, the removed ones too: they may have made keys."""
    return (await session.scalars(select(User))).all()


async def roles(session: AsyncSession) -> Sequence[Role]:
    """Return the session's roles, by name."""
    return (await session.scalars(select(Role).order_by(Role.name, Role.id))).all()


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What a key's digest tells."""

    id: str
    organization_id: str
    user_id: str
    run_id: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    is_open: bool
    """Whether neither its owner nor the organization is switched off."""
    operates: bool
    """Whether the organization runs the platform."""
    policies: tuple[Mapping[str, Any], ...]
    """Of all roles of its owner."""


async def key_by_digest(session: AsyncSession, digest: str) -> KeyFacts | None:
    """Return the key with this digest and its owner's policies, by one statement."""
    rows = (await session.execute(_KEY_FACTS, {"digest": digest})).all()
    if not rows:
        return None
    first = rows[0]
    return KeyFacts(
        id=first.id,
        organization_id=first.organization_id,
        user_id=first.user_id,
        run_id=first.run_id,
        expires_at=first.expires_at,
        revoked_at=first.revoked_at,
        is_open=first.disabled_at is None and first.state == ACTIVE,
        operates=first.operates,
        policies=tuple(policy for row in rows for policy in row.policies or ()),
    )


_KEY_COLUMNS: Final[Any] = (
    ApiKey.id,
    ApiKey.organization_id,
    ApiKey.user_id,
    ApiKey.run_id,
    ApiKey.expires_at,
    ApiKey.revoked_at,
    Role.policies,
    User.disabled_at,
    Organization.state,
    Organization.operates,
)
_KEY_FACTS: Final = (
    select(*_KEY_COLUMNS)
    .join(User, User.id == ApiKey.user_id)
    .join(Organization, Organization.id == ApiKey.organization_id)
    .outerjoin(user_roles, user_roles.c.user_id == ApiKey.user_id)
    .outerjoin(Role, Role.id == user_roles.c.role_id)
    .where(ApiKey.digest == bindparam("digest"), User.deleted_at.is_(None))
)
"""Put together once: every request asks this."""


async def keys(session: AsyncSession, user_id: str | None = None) -> Sequence[ApiKey]:
    """Return the session's keys that people made, of one user or of all, newest first."""
    query = select(ApiKey).where(ApiKey.run_id.is_(None))
    if user_id is not None:
        query = query.where(ApiKey.user_id == user_id)
    return (await session.scalars(query.order_by(ApiKey.created_at.desc(), ApiKey.id))).all()


async def key_by_id(session: AsyncSession, key_id: str) -> ApiKey | None:
    """Return the session's key with this id."""
    return (await session.scalars(select(ApiKey).where(ApiKey.id == key_id))).first()


async def revoke_keys_of_run(session: AsyncSession, run_id: str) -> None:
    """Revoke whatever keys a run was given."""
    await session.execute(
        update(ApiKey)
        .where(ApiKey.run_id == run_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=now(), updated_at=now())
    )


async def revoke_keys_of_user(session: AsyncSession, user_id: str) -> None:
    """Revoke every key of a user, its runs' too."""
    await session.execute(
        update(ApiKey)
        .where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=now(), updated_at=now())
    )


async def revoke_keys_named(session: AsyncSession, user_id: str, name: str) -> None:
    """Revoke a user's keys of this name."""
    await session.execute(
        update(ApiKey)
        .where(ApiKey.user_id == user_id, ApiKey.name == name, ApiKey.revoked_at.is_(None))
        .values(revoked_at=now(), updated_at=now())
    )
