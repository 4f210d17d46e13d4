"""The organizations of the platform, as its operator makes and closes them."""

from __future__ import annotations

from landloom.errors import Conflict, InvalidInput, NotFound
from landloom.server.accounts import repository, schemas, tables
from landloom.server.accounts.admission import Admission
from landloom.server.accounts.directory import add_organization, add_principal, ensure_roles
from landloom.server.accounts.keys import Caller, add_key
from landloom.server.accounts.rights import ADMIN
from landloom.server.accounts.tables import CLOSED, OrganizationState
from landloom.server.accounts.views import member
from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.storage.admin import ObjectStoreAdmin

FIRST_KEY = "first key"


class Organizations:
    """All organizations. Only the platform's own administrators come as far as here."""

    def __init__(
        self, database: Database, admission: Admission, object_store: ObjectStoreAdmin
    ) -> None:
        self._database = database
        self._admission = admission
        self._object_store = object_store

    async def all(self) -> list[schemas.OrganizationSummary]:
        """Return all organizations, oldest first."""
        async with self._database.reading(None) as session:
            return [_summary(*found) for found in await repository.organizations(session)]

    async def add(
        self, request: schemas.CreateOrganizationRequest
    ) -> schemas.CreateOrganizationResponse:
        """Make an organization, its administrator, and that one's first key.

        Raises:
            InvalidInput: The key would have ended already.
            Forbidden: There can be but one principal here.
        """
        self._admission.require()
        if request.expires_at <= now():
            raise InvalidInput("expiresAt lies in the past.", field="expiresAt")
        async with self._database.writing(None) as session:
            row = await add_organization(session, request.name)
            roles = await ensure_roles(session, row.id)
            admin = await add_principal(
                session,
                row.id,
                name=request.admin_name,
                email=request.admin_email,
                roles=[roles[ADMIN]],
            )
            made = add_key(
                session,
                organization_id=row.id,
                user_id=admin.id,
                name=FIRST_KEY,
                expires_at=request.expires_at,
            )
            summary = _summary(row, 1)
            return schemas.CreateOrganizationResponse(
                **dict(summary), admin=member(admin), key=made.key
            )

    async def set_state(
        self, caller: Caller, organization_id: str, state: OrganizationState
    ) -> schemas.OrganizationSummary:
        """Suspend an organization, take it back, or close it: its keys open nothing meanwhile.

        Raises:
            NotFound: There is no such organization.
            Conflict: It is the platform's own, or it was closed, which is for good.
            Unavailable: It is closed, but its users' storage keys are not, for the store did not
                answer. They are at the next start, or when this is asked again.
        """
        async with self._database.writing(None) as session:
            row = await repository.find_organization(session, organization_id)
            if row is None:
                raise NotFound(
                    f"There is no organization {organization_id!r}.",
                    suggestion="List them with `landloom orgs list`.",
                )
            if row.id == caller.organization_id:
                raise Conflict("The organization that runs the platform stays open.")
            if row.state == CLOSED != state:
                raise Conflict(f"The organization {row.name!r} was closed, which is for good.")
            row.state, row.updated_at = state, now()
            await session.flush()
            shut_out = await repository.shut_out(session, row.id)
            summary = _summary(row, await repository.principals_of(session, row.id))
        for user_id in shut_out:
            await self._object_store.withdraw_user(user_id)
        return summary


def _summary(row: tables.Organization, users: int) -> schemas.OrganizationSummary:
    return schemas.OrganizationSummary.model_validate(
        {
            "id": row.id,
            "create_time": row.created_at,
            "update_time": row.updated_at,
            "name": row.name,
            "state": row.state,
            "operates": row.operates,
            "user_count": users,
        }
    )
