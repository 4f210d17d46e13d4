"""Further organizations and principals on a test's platform."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from landloom.server.accounts import directory
from landloom.server.accounts.keys import add_key
from landloom.server.accounts.rights import Policy
from landloom.server.accounts.tables import HUMAN
from landloom.server.db.session import Database
from tests.api.platform import Platform


@dataclass(frozen=True)
class Principal:
    """Somebody with a key."""

    organization_id: str
    user_id: str
    key: str

    def client(self, platform: Platform) -> httpx.Client:
        return httpx.Client(base_url=platform.url, headers={"X-API-Key": self.key}, timeout=20)


def add_principal(
    platform: Platform,
    *,
    role: str | None = None,
    policies: Sequence[Policy] = (),
    organization_id: str | None = None,
    kind: str = HUMAN,
    run_id: str | None = None,
) -> Principal:
    """Add a principal with a built-in role, or with policies of its own.

    `organization_id=""` founds another organization for it; None is the platform's first one.
    """
    return asyncio.run(_add(platform, role, policies, organization_id, kind, run_id))


async def _add(
    platform: Platform,
    role: str | None,
    policies: Sequence[Policy],
    organization_id: str | None,
    kind: str,
    run_id: str | None,
) -> Principal:
    database = Database(platform.settings.database)
    try:
        async with database.writing(None) as session:
            organization = organization_id or platform.admin.org_id
            if organization_id is not None and not organization_id:
                organization = (await directory.add_organization(session, "other")).id
            roles = await directory.ensure_roles(session, organization)
            mine = (
                roles[role]
                if role
                else directory.add_role(
                    session, organization, "own", [dict(each.to_json()) for each in policies]
                )
            )
            user = await directory.add_principal(
                session, organization, name="somebody", email="s@x.y", roles=[mine], kind=kind
            )
            made = add_key(
                session, organization_id=organization, user_id=user.id, name="k", run_id=run_id
            )
        return Principal(organization, user.id, made.key)
    finally:
        await database.close()
