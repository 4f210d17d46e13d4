"""The principals and roles of an organization, as its administrators change them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from landloom.errors import Conflict, InvalidInput, NotFound
from landloom.server.accounts import directory, repository, schemas
from landloom.server.accounts.admission import Admission
from landloom.server.accounts.keys import Caller
from landloom.server.accounts.rights import ADMIN, BUILT_IN, Policy
from landloom.server.accounts.tables import SERVICE, Role, User
from landloom.server.accounts.views import member, roles
from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.storage.admin import ObjectStoreAdmin

_LIST: Final = "List them with `landloom users list`."


class People:
    """Adds, changes and removes principals, and the organization's own roles."""

    def __init__(
        self, database: Database, admission: Admission, object_store: ObjectStoreAdmin
    ) -> None:
        self._database = database
        self._admission = admission
        self._object_store = object_store

    async def members(self, caller: Caller) -> list[schemas.Member]:
        """Return the principals of the caller's organization, oldest first."""
        async with self._database.reading(caller.organization_id) as session:
            return [member(row) for row in await repository.users(session)]

    async def add(self, caller: Caller, request: schemas.CreateMemberRequest) -> schemas.Member:
        """Add a person or a service.

        Raises:
            InvalidInput: There is no such role, or a person has no e-mail address.
            Conflict: There is a principal of this e-mail address or service name.
            Forbidden: There can be but one here.
        """
        self._admission.require()
        if (request.kind == SERVICE) == (request.email is not None):
            raise InvalidInput(
                "A person has an e-mail address, and a service has none.", field="email"
            )
        async with self._database.writing(caller.organization_id) as session:
            _require_new(request, await repository.users(session))
            row = await directory.add_principal(
                session,
                caller.organization_id,
                name=request.name,
                email=request.email or "",
                roles=await _roles_named(session, caller.organization_id, request.roles),
                kind=request.kind,
            )
            return member(row)

    async def change(
        self, caller: Caller, user_id: str, request: schemas.UpdateMemberRequest
    ) -> schemas.Member:
        """Give a principal other roles, switch it off, or on again.

        Raises:
            NotFound: There is no such principal.
            InvalidInput: There is no such role.
            Conflict: The organization would be left without its administrator.
            Forbidden: There can be but one here, and it would be switched on again.
            Unavailable: It is switched off, but its storage keys are not, for the store did not
                answer. They are at the next start, or when this is asked again.
        """
        if request.disabled is False:
            self._admission.require()
        async with self._database.writing(caller.organization_id) as session:
            row = await _find(session, user_id)
            if request.roles is not None:
                row.roles = [*await _roles_named(session, caller.organization_id, request.roles)]
            if request.disabled is not None:
                row.disabled_at = (row.disabled_at or now()) if request.disabled else None
            row.updated_at = now()
            await _require_first_admin(session, caller.organization_id)
            changed = member(row)
        if request.disabled:
            await self._object_store.withdraw_user(user_id)
        return changed

    async def remove(self, caller: Caller, user_id: str) -> None:
        """Remove a principal, its keys and rights; its runs stay and go on naming it.

        Raises:
            NotFound: There is no such principal.
            Conflict: The organization would be left without its administrator.
        """
        async with self._database.writing(caller.organization_id) as session:
            row = await _find(session, user_id)
            row.deleted_at = row.updated_at = now()
            await _require_first_admin(session, caller.organization_id)
            await repository.revoke_keys_of_user(session, user_id)
        await self._object_store.withdraw_user(user_id)

    async def roles(self, caller: Caller) -> list[schemas.Role]:
        """Return the organization's roles, by name."""
        async with self._database.reading(caller.organization_id) as session:
            return roles(await repository.roles(session))

    async def set_role(
        self, caller: Caller, name: str, request: schemas.SetRoleRequest
    ) -> schemas.Role:
        """Make a role, or give it other policies.

        Raises:
            Conflict: It is a built-in one.
        """
        _require_own(name)
        documents = [
            dict(Policy(each.action, each.locator, each.effect, each.provider).to_json())
            for each in request.policies
        ]
        async with self._database.writing(caller.organization_id) as session:
            row = await repository.role_named(session, caller.organization_id, name)
            if row is None:
                row = directory.add_role(session, caller.organization_id, name, list(documents))
            else:
                row.policies, row.updated_at = list(documents), now()
            await session.flush()
            return roles([row])[0]

    async def remove_role(self, caller: Caller, name: str) -> None:
        """Remove a role; whoever has it loses its rights.

        Raises:
            NotFound: There is no such role.
            Conflict: It is a built-in one.
        """
        _require_own(name)
        async with self._database.writing(caller.organization_id) as session:
            (row,) = await _roles_named(session, caller.organization_id, [name], absent=NotFound)
            await session.delete(row)


async def _find(session: AsyncSession, user_id: str) -> User:
    row = await repository.find_user(session, user_id)
    if row is None:
        raise NotFound(f"There is no user {user_id!r}.", suggestion=_LIST)
    return row


async def _roles_named(
    session: AsyncSession,
    organization_id: str,
    names: Collection[str],
    *,
    absent: type[InvalidInput | NotFound] = InvalidInput,
) -> Sequence[Role]:
    found = []
    for name in dict.fromkeys(names):
        row = await repository.role_named(session, organization_id, name)
        if row is None:
            raise absent(
                f"There is no role {name!r} in the organization.",
                suggestion="List them with `landloom users roles`.",
                field="roles" if absent is InvalidInput else None,
            )
        found.append(row)
    return found


async def _require_first_admin(session: AsyncSession, organization_id: str) -> None:
    """Check that who was made with the organization can still repair whatever others break."""
    await session.flush()
    first = await repository.first_user(session, organization_id)
    names = {role.name for role in first.roles} if first is not None else set()
    if first is None or first.deleted_at or first.disabled_at or ADMIN not in names:
        raise Conflict(
            "The organization's first administrator stays one.",
            suggestion="Revoke its keys with `landloom keys revoke` if nobody shall use it.",
        )


def _require_new(request: schemas.CreateMemberRequest, others: Sequence[User]) -> None:
    for other in others:
        same = (
            request.email.casefold() == other.email.casefold()
            if request.email
            else other.kind == SERVICE and request.name == other.name
        )
        if same:
            raise Conflict(
                f"There is a principal {request.email or request.name!r} already.",
                suggestion=_LIST,
            )


def _require_own(name: str) -> None:
    if name in BUILT_IN:
        raise Conflict(
            f"The role {name!r} is built in.", suggestion="Make one of another name instead."
        )
