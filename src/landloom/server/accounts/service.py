"""Who the caller is, and the organization around."""

from __future__ import annotations

from collections.abc import Iterable

from landloom.server.accounts import repository, schemas, tables
from landloom.server.accounts.keys import Caller
from landloom.server.db.session import Database
from landloom.server.settings import Settings


class Accounts:
    """Reads users and organizations."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    async def me(self, caller: Caller) -> schemas.HumanPrincipal:
        """Return the caller."""
        async with self._database.reading(caller.organization_id) as session:
            row = await repository.user(session, caller.user_id)
        roles = _roles(row.roles)
        return schemas.HumanPrincipal(
            id=row.id,
            create_time=row.created_at,
            update_time=row.updated_at,
            organization_id=row.organization_id,
            roles=roles,
            policies=[policy for role in roles for policy in role.policies],
            email=row.email,
            name=row.name,
        )

    async def organization(self, caller: Caller) -> schemas.Organization:
        """Return the caller's organization."""
        async with self._database.reading(caller.organization_id) as session:
            row = await repository.organization(session, caller.organization_id)
            users = await repository.users(session)
            roles = await repository.roles(session)
        settings = self._settings
        return schemas.Organization(
            id=row.id,
            create_time=row.created_at,
            update_time=row.updated_at,
            name=row.name,
            users=[principal(user) for user in users],
            roles=_roles(roles),
            file_store=schemas.FileStore(
                id=row.file_store_id,
                create_time=row.created_at,
                update_time=row.updated_at,
                bucket_name=settings.bucket,
            ),
            default_runtime=row.default_runtime or settings.default_runtime,
            default_region=row.default_region or settings.default_region,
            allowed_regions=list(settings.allowed_regions),
        )


def principal(row: tables.User) -> schemas.OrganizationCustomer:
    """Return a user as others see it."""
    return schemas.OrganizationCustomer(
        id=row.id,
        create_time=row.created_at,
        update_time=row.updated_at,
        email=row.email,
        name=row.name,
        roles=_roles(row.roles),
    )


def _roles(rows: Iterable[tables.Role]) -> list[schemas.Role]:
    return [
        schemas.Role(
            id=row.id,
            create_time=row.created_at,
            update_time=row.updated_at,
            name=row.name,
            organization_id=row.organization_id,
            policies=[schemas.Policy.model_validate(policy) for policy in row.policies],
        )
        for row in rows
    ]
