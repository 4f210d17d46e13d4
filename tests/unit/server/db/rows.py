"""Rows for tests."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from landloom.server.accounts.tables import Organization, User
from landloom.server.kit.clock import now
from landloom.server.kit.ids import new_id
from landloom.server.runs.tables import Run


async def add_organization(session: AsyncSession) -> tuple[str, str]:
    """Return the ids of a new organization and its user."""
    at = now()
    organization = Organization(
        id=new_id(), created_at=at, updated_at=at, name="o", file_store_id=new_id()
    )
    session.add(organization)
    await session.flush()
    user = User(
        id=new_id(),
        created_at=at,
        updated_at=at,
        organization_id=organization.id,
        email="a@b",
        roles=[],
    )
    session.add(user)
    await session.flush()
    return organization.id, user.id


def make_run(organization_id: str, user_id: str, **changes: Any) -> Run:
    at = now()
    values: dict[str, Any] = {
        "id": new_id(),
        "created_at": at,
        "updated_at": at,
        "organization_id": organization_id,
        "user_id": user_id,
        "status": "PENDING",
        "name": "name",
        "region": "r",
        "runtime": "tiny",
        "resolved_version": "1",
        "payload": {},
        "timed_out": False,
    }
    return Run(**values | changes)
