"""Queries on what lies where in managed storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from landloom.server.accounts.tables import ACTIVE, Organization, User
from landloom.server.storage.quota.tables import StorageUse


@dataclass(frozen=True, slots=True)
class Stored:
    """Sums over prefixes."""

    own_bytes: int
    """Of the user's own prefixes."""
    organization_bytes: int
    """Of all prefixes of the organization."""


async def unknown_users(session: AsyncSession, *, limit: int) -> Sequence[User]:
    """Return users whose prefixes have no rows yet."""
    known = exists().where(StorageUse.user_id == User.id, StorageUse.is_own)
    query = select(User).where(User.deleted_at.is_(None), ~known).order_by(User.id).limit(limit)
    return (await session.scalars(query)).all()


async def prefixes(session: AsyncSession, organization_id: str) -> set[str]:
    """Return the prefixes of an organization that have rows."""
    query = select(StorageUse.prefix).where(StorageUse.organization_id == organization_id)
    return set((await session.scalars(query)).all())


async def of_user(session: AsyncSession, user_id: str) -> Sequence[StorageUse]:
    """Return the rows that a user may see: the user's own, and the organization's shared ones."""
    query = (
        select(StorageUse)
        .where(or_(StorageUse.user_id == user_id, ~StorageUse.is_own))
        .order_by(StorageUse.prefix)
    )
    return (await session.scalars(query)).all()


async def stored(session: AsyncSession, organization_id: str, user_id: str) -> Stored:
    """Return what a user and an organization store; rows are few, and no object is looked at."""
    own = (StorageUse.user_id == user_id) & StorageUse.is_own
    row = (
        await session.execute(
            select(
                func.coalesce(func.sum(StorageUse.bytes).filter(own), 0),
                func.coalesce(func.sum(StorageUse.bytes), 0),
            ).where(StorageUse.organization_id == organization_id)
        )
    ).one()
    return Stored(int(row[0]), int(row[1]))


async def expect_writes(session: AsyncSession, user_id: str, until: datetime) -> None:
    """Note that a user may write until an instant: to the user's own prefixes and the shared."""
    organization = select(User.organization_id).where(User.id == user_id).scalar_subquery()
    await session.execute(
        update(StorageUse)
        .where(
            StorageUse.organization_id == organization,
            or_(StorageUse.user_id == user_id, ~StorageUse.is_own),
            StorageUse.written_until < until,
        )
        .values(written_until=until)
    )


@dataclass(frozen=True, slots=True)
class Stale:
    """A prefix to measure, and somebody who reaches it."""

    use: StorageUse
    organization_id: str
    user_id: str


async def stale(session: AsyncSession, *, before: datetime, limit: int) -> Sequence[Stale]:
    """Return prefixes that may hold other things than when they were measured, oldest first.

    Those are where writes were expected since, and all that were measured before an instant:
    lasting keys write without asking us. What nobody reaches any more stays as it is.
    """
    who = (
        select(func.min(User.id))
        .join(Organization, Organization.id == User.organization_id)
        .where(
            User.organization_id == StorageUse.organization_id,
            or_(User.id == StorageUse.user_id, ~StorageUse.is_own),
            User.disabled_at.is_(None),
            User.deleted_at.is_(None),
            Organization.state == ACTIVE,
        )
        .correlate(StorageUse)
        .scalar_subquery()
    )
    query = (
        select(StorageUse, who)
        .where(
            who.is_not(None),
            or_(
                StorageUse.measured_at.is_(None),
                StorageUse.measured_at < before,
                StorageUse.written_until > StorageUse.measured_at,
            ),
        )
        .order_by(StorageUse.measured_at.is_not(None), StorageUse.measured_at, StorageUse.id)
        .limit(limit)
    )
    rows = (await session.execute(query)).all()
    return [Stale(use, use.organization_id, user_id) for use, user_id in rows]


async def put(session: AsyncSession, row_id: str, **values: Any) -> None:
    """Set columns of a row."""
    await session.execute(update(StorageUse).where(StorageUse.id == row_id).values(**values))
