"""Who the caller is, the organization around, and its keys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from landloom.server.accounts import repository, schemas
from landloom.server.accounts.keys import Caller, Keys, KeyView
from landloom.server.accounts.tables import SERVICE
from landloom.server.accounts.views import integration_details, principal
from landloom.server.accounts.views import roles as roles_of
from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.offers import Offers
from landloom.server.settings import Settings
from landloom.server.storage.integrations import repository as integration_repository

_NEVER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The end of keys that have none: clients want an instant."""


class Accounts:
    """Users, organizations and keys, as the caller may see and change them."""

    def __init__(self, settings: Settings, database: Database, keys: Keys) -> None:
        self._settings = settings
        self._database = database
        self._keys = keys
        self._offers = Offers(settings)

    async def me(self, caller: Caller) -> schemas.HumanPrincipal | schemas.ServicePrincipal:
        """Return the caller."""
        async with self._database.reading(caller.organization_id) as session:
            row = await repository.user(session, caller.user_id)
        roles = roles_of(row.roles)
        shared: dict[str, Any] = {
            "id": row.id,
            "create_time": row.created_at,
            "update_time": row.updated_at,
            "organization_id": row.organization_id,
            "roles": roles,
            "policies": [policy for role in roles for policy in role.policies],
        }
        if row.kind == SERVICE:
            return schemas.ServicePrincipal(**shared, name=row.name or row.id)
        return schemas.HumanPrincipal(**shared, email=row.email, name=row.name)

    async def organization(self, caller: Caller) -> schemas.Organization:
        """Return the caller's organization."""
        async with self._database.reading(caller.organization_id) as session:
            row = await repository.organization(session, caller.organization_id)
            users = await repository.users(session)
            roles = await repository.roles(session)
            integrations = await integration_repository.all_of(session)
        settings = self._settings
        return schemas.Organization(
            id=row.id,
            create_time=row.created_at,
            update_time=row.updated_at,
            name=row.name,
            users=[principal(user) for user in users if user.kind != SERVICE],
            services=[principal(user) for user in users if user.kind == SERVICE],
            roles=roles_of(roles),
            storage_integrations=list(map(integration_details, integrations)),
            file_store=schemas.FileStore(
                id=row.file_store_id,
                create_time=row.created_at,
                update_time=row.updated_at,
                bucket_name=settings.bucket,
            ),
            default_runtime=row.default_runtime or settings.default_runtime,
            default_region=row.default_region or settings.default_region,
            allowed_regions=list(settings.allowed_regions),
            state=row.state,
        )

    async def set_default_region(self, caller: Caller, region: str) -> None:
        """Set the region of runs that name none.

        Raises:
            InvalidInput: The region is not allowed here.
        """
        region = self._offers.region(region)
        async with self._database.writing(caller.organization_id) as session:
            row = await repository.organization(session, caller.organization_id)
            row.default_region, row.updated_at = region, now()

    async def set_default_runtime(self, caller: Caller, runtime: str) -> None:
        """Set the runtime of runs that name none.

        Raises:
            InvalidInput: There is no such runtime.
            Forbidden: The operator has not enabled it.
        """
        runtime = self._offers.runtime(runtime)
        async with self._database.writing(caller.organization_id) as session:
            row = await repository.organization(session, caller.organization_id)
            row.default_runtime, row.updated_at = runtime, now()

    async def keys(self, caller: Caller, user_id: str | None) -> list[schemas.ApiKey]:
        """Return a user's keys, or with None those of the whole organization.

        Raises:
            Forbidden: They are another's, and the caller does not administer keys.
        """
        if user_id != caller.user_id:
            caller.rights.require("apikeys:administer", "organization/apikeys")
        found = await self._keys.list(caller.organization_id, user_id=user_id)
        people = await self._people(caller)
        return [schemas.ApiKey(**_key_fields(key, people)) for key in found]

    async def create_key(
        self, caller: Caller, request: schemas.CreateApiKeyRequest
    ) -> schemas.CreateApiKeyResponse:
        """Make a key for the caller, or as an administrator for another principal.

        Raises:
            InvalidInput: Its end lies in the past, or there is no such principal.
            Forbidden: It is for another, and the caller does not administer keys.
        """
        owner = request.owned_by_id or caller.user_id
        if owner != caller.user_id:
            caller.rights.require("apikeys:administer", "organization/apikeys")
        made = await self._keys.create(
            organization_id=caller.organization_id,
            user_id=owner,
            name=request.name,
            expires_at=request.expires_at,
            created_by_id=caller.user_id,
        )
        found = await self._keys.list(caller.organization_id, user_id=owner)
        view = next(key for key in found if key.id == made.id)
        fields = _key_fields(view, await self._people(caller))
        return schemas.CreateApiKeyResponse(**fields, key=made.key)

    async def prolong_key(
        self, caller: Caller, key_id: str, request: schemas.UpdateApiKeyRequest
    ) -> schemas.ApiKey:
        """Set when a key ends: one's own, or any as an administrator.

        Raises:
            NotFound: There is no such key, or it is another's.
            Conflict: It was revoked.
            InvalidInput: The end lies in the past.
        """
        view = await self._keys.prolong(
            caller.organization_id, key_id, request.expires_at, user_id=_reach(caller)
        )
        return schemas.ApiKey(**_key_fields(view, await self._people(caller)))

    async def revoke_key(self, caller: Caller, key_id: str) -> None:
        """Revoke a key: one's own, or any as an administrator.

        Raises:
            NotFound: There is no such key, or it is another's.
        """
        await self._keys.revoke(caller.organization_id, key_id, user_id=_reach(caller))

    async def _people(self, caller: Caller) -> dict[str, schemas.OrganizationCustomer]:
        async with self._database.reading(caller.organization_id) as session:
            return {user.id: principal(user) for user in await repository.everybody(session)}


def _reach(caller: Caller) -> str | None:
    """Return whose keys a caller may change: its own, or None for everybody's."""
    everybody = caller.rights.allow("apikeys:administer", "organization/apikeys")
    return None if everybody else caller.user_id


def _key_fields(key: KeyView, people: Mapping[str, schemas.OrganizationCustomer]) -> dict[str, Any]:
    return {
        "id": key.id,
        "create_time": key.created_at,
        "update_time": key.updated_at,
        "partial_api_key": key.preview,
        "preview": key.preview,
        "name": key.name,
        "valid": key.valid,
        "revoked": key.revoked_at is not None,
        "expires_at": key.expires_at or _NEVER,
        "created_by_id": key.created_by_id,
        "created_by": people.get(key.created_by_id or ""),
        "owned_by": people.get(key.user_id),
    }
