"""Organizations, their built-in roles and their principals: how they come into being."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from landloom.server.accounts import repository
from landloom.server.accounts.rights import BUILT_IN
from landloom.server.accounts.tables import HUMAN, Organization, Role, User
from landloom.server.kit.clock import now
from landloom.server.kit.ids import new_id


async def add_organization(
    session: AsyncSession, name: str, *, operates: bool = False
) -> Organization:
    """Add an organization with its built-in roles; one alone `operates` the platform."""
    made_at = now()
    organization = Organization(
        id=new_id(),
        created_at=made_at,
        updated_at=made_at,
        name=name,
        file_store_id=new_id(),
        operates=operates,
    )
    session.add(organization)
    # Rows that refer to it only by id: it must be there before them.
    await session.flush()
    await ensure_roles(session, organization.id)
    return organization


async def ensure_roles(session: AsyncSession, organization_id: str) -> dict[str, Role]:
    """Return an organization's built-in roles by name, as they are today; make what is missing."""
    roles = {}
    for name, policies in BUILT_IN.items():
        role = await repository.role_named(session, organization_id, name)
        documents: list[dict[str, Any]] = [dict(policy.to_json()) for policy in policies]
        if role is None:
            role = add_role(session, organization_id, name, documents)
        elif role.policies != documents:
            role.policies, role.updated_at = documents, now()
        roles[name] = role
    await session.flush()
    return roles


def add_role(
    session: AsyncSession, organization_id: str, name: str, policies: list[dict[str, Any]]
) -> Role:
    """Add a named set of policies."""
    made_at = now()
    role = Role(
        id=new_id(),
        created_at=made_at,
        updated_at=made_at,
        organization_id=organization_id,
        name=name,
        policies=policies,
    )
    session.add(role)
    return role


async def add_principal(
    session: AsyncSession,
    organization_id: str,
    *,
    name: str,
    email: str = "",
    roles: Sequence[Role],
    kind: str = HUMAN,
) -> User:
    """Add a person, or with `kind=SERVICE` a service, which has no e-mail address."""
    made_at = now()
    user = User(
        id=new_id(),
        created_at=made_at,
        updated_at=made_at,
        organization_id=organization_id,
        kind=kind,
        email=email,
        name=name,
        roles=list(roles),
    )
    session.add(user)
    await session.flush()
    return user
