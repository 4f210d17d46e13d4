"""The routes of the caller, the organization and API keys."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, status

from landloom.server.accounts import schemas
from landloom.server.accounts.auth import having
from landloom.server.accounts.keys import Caller
from landloom.server.accounts.organizations import Organizations
from landloom.server.accounts.people import People
from landloom.server.accounts.service import Accounts
from landloom.server.accounts.tables import CLOSED

router = APIRouter()

_OURS: Final[dict[str, Any]] = {"x-exclude-from-cli": True}
"""Routes that no public client knows; `landloom users` and `landloom orgs` are for them."""

type _PeopleAdmin = Annotated[Caller, having("users:administer")]
type _Operator = Annotated[Caller, having("platform:administer")]
type _RoleName = Annotated[str, Path(max_length=64)]


@router.get(
    "/users/me",
    operation_id="getMe",
    summary="Read the calling principal",
    tags=["users", "me"],
)
async def read_me(
    request: Request, caller: Annotated[Caller, having("users:read")]
) -> schemas.HumanPrincipal | schemas.ServicePrincipal:
    """Return the owner of the key."""
    return await _accounts(request).me(caller)


@router.get(
    "/organization",
    operation_id="getMyOrganization",
    summary="Read the caller's organization",
    tags=["organization"],
)
async def read_organization(
    request: Request, caller: Annotated[Caller, having("organization:read")]
) -> schemas.Organization:
    """Return the organization of the key's owner."""
    return await _accounts(request).organization(caller)


@router.put(
    "/organization/default-region",
    operation_id="setDefaultRegion",
    summary="Choose the region of runs that name none",
    tags=["organization"],
)
async def set_default_region(
    request: Request, caller: Annotated[Caller, having("organization:update")], region: str
) -> dict[str, str]:
    """Set the organization's default region."""
    await _accounts(request).set_default_region(caller, region)
    return {}


@router.put(
    "/organization/default-runtime",
    operation_id="setDefaultRuntime",
    summary="Choose the runtime of runs that name none",
    tags=["organization"],
)
async def set_default_runtime(
    request: Request, caller: Annotated[Caller, having("organization:update")], runtime_id: str
) -> dict[str, str]:
    """Set the organization's default runtime."""
    await _accounts(request).set_default_runtime(caller, runtime_id)
    return {}


@router.get(
    "/apikey",
    operation_id="getApiKeys",
    summary="List the caller's API keys",
    tags=["apikey"],
)
async def list_keys(
    request: Request,
    caller: Annotated[Caller, having("apikeys:read")],
    customerId: str | None = None,  # noqa: N803 - its name on the wire
) -> list[schemas.ApiKey]:
    """Return the keys of a principal, the caller's own where none is named."""
    return await _accounts(request).keys(caller, customerId or caller.user_id)


@router.get(
    "/organization/apikeys",
    operation_id="getOrganizationApiKeys",
    summary="List the API keys of the whole organization",
    tags=["organization", "apikey"],
)
async def list_organization_keys(
    request: Request, caller: Annotated[Caller, having("apikeys:administer")]
) -> list[schemas.ApiKey]:
    """Return every key of the organization."""
    return await _accounts(request).keys(caller, None)


@router.post(
    "/apikey",
    operation_id="createApiKey",
    summary="Make an API key",
    tags=["apikey"],
)
async def create_key(
    request: Request,
    caller: Annotated[Caller, having("apikeys:create")],
    payload: schemas.CreateApiKeyRequest,
) -> schemas.CreateApiKeyResponse:
    """Make a key and show it, this once."""
    return await _accounts(request).create_key(caller, payload)


@router.post(
    "/apikey/{api_key_id}",
    operation_id="updateApiKey",
    summary="Set another end of an API key",
    tags=["apikey"],
)
async def prolong_key(
    request: Request,
    caller: Annotated[Caller, having("apikeys:update")],
    api_key_id: str,
    payload: schemas.UpdateApiKeyRequest,
) -> schemas.ApiKey:
    """Set when a key ends: one's own, or any as an administrator."""
    return await _accounts(request).prolong_key(caller, api_key_id, payload)


@router.delete(
    "/apikey/{api_key_id}",
    operation_id="revokeApiKey",
    summary="Revoke an API key",
    tags=["apikey"],
)
async def revoke_key(
    request: Request, caller: Annotated[Caller, having("apikeys:revoke")], api_key_id: str
) -> dict[str, str]:
    """Revoke a key: one's own, or any as an administrator."""
    await _accounts(request).revoke_key(caller, api_key_id)
    return {}


@router.get(
    "/organization/users",
    operation_id="listUsers",
    summary="List the principals of the organization",
    tags=["organization"],
    openapi_extra=_OURS,
)
async def list_users(
    request: Request, caller: Annotated[Caller, having("users:read")]
) -> list[schemas.Member]:
    """Return people and services, oldest first."""
    return await _people(request).members(caller)


@router.post(
    "/organization/users",
    operation_id="createUser",
    summary="Add a person or a service to the organization",
    tags=["organization"],
    status_code=status.HTTP_201_CREATED,
    openapi_extra=_OURS,
)
async def create_user(
    request: Request, caller: _PeopleAdmin, payload: schemas.CreateMemberRequest
) -> schemas.Member:
    """Add a principal. It has no key yet: `POST /apikey` with its id makes one."""
    return await _people(request).add(caller, payload)


@router.post(
    "/organization/users/{user_id}",
    operation_id="updateUser",
    summary="Give a principal other roles, or switch it off",
    tags=["organization"],
    openapi_extra=_OURS,
)
async def update_user(
    request: Request, caller: _PeopleAdmin, user_id: str, payload: schemas.UpdateMemberRequest
) -> schemas.Member:
    """Change a principal."""
    return await _people(request).change(caller, user_id, payload)


@router.delete(
    "/organization/users/{user_id}",
    operation_id="removeUser",
    summary="Remove a principal and revoke its keys",
    tags=["organization"],
    openapi_extra=_OURS,
)
async def remove_user(request: Request, caller: _PeopleAdmin, user_id: str) -> dict[str, str]:
    """Remove a principal; its runs stay."""
    await _people(request).remove(caller, user_id)
    return {}


@router.get(
    "/organization/roles",
    operation_id="listRoles",
    summary="List the roles of the organization",
    tags=["organization"],
    openapi_extra=_OURS,
)
async def list_roles(
    request: Request, caller: Annotated[Caller, having("users:read")]
) -> list[schemas.Role]:
    """Return roles with their policies."""
    return await _people(request).roles(caller)


@router.put(
    "/organization/roles/{role_name}",
    operation_id="setRole",
    summary="Make a role, or give it other policies",
    tags=["organization"],
    openapi_extra=_OURS,
)
async def set_role(
    request: Request, caller: _PeopleAdmin, role_name: _RoleName, payload: schemas.SetRoleRequest
) -> schemas.Role:
    """Set the policies of a role of the organization's own."""
    return await _people(request).set_role(caller, role_name, payload)


@router.delete(
    "/organization/roles/{role_name}",
    operation_id="removeRole",
    summary="Remove a role",
    tags=["organization"],
    openapi_extra=_OURS,
)
async def remove_role(
    request: Request, caller: _PeopleAdmin, role_name: _RoleName
) -> dict[str, str]:
    """Remove a role of the organization's own."""
    await _people(request).remove_role(caller, role_name)
    return {}


@router.get(
    "/organizations",
    operation_id="listOrganizations",
    summary="List all organizations of the platform",
    tags=["platform"],
    openapi_extra=_OURS,
)
async def list_organizations(
    request: Request, _caller: Annotated[Caller, having("platform:read")]
) -> list[schemas.OrganizationSummary]:
    """Return all organizations, oldest first; for the platform's operator."""
    return await _organizations(request).all()


@router.post(
    "/organizations",
    operation_id="createOrganization",
    summary="Make an organization, its administrator and that one's first key",
    tags=["platform"],
    status_code=status.HTTP_201_CREATED,
    openapi_extra=_OURS,
)
async def create_organization(
    request: Request, _caller: _Operator, payload: schemas.CreateOrganizationRequest
) -> schemas.CreateOrganizationResponse:
    """Make an organization; its administrator's key is shown this once."""
    return await _organizations(request).add(payload)


@router.post(
    "/organizations/{organization_id}",
    operation_id="updateOrganization",
    summary="Suspend an organization, or take it back",
    tags=["platform"],
    openapi_extra=_OURS,
)
async def update_organization(
    request: Request,
    caller: _Operator,
    organization_id: str,
    payload: schemas.UpdateOrganizationRequest,
) -> schemas.OrganizationSummary:
    """Set an organization's state; while it is suspended its keys open nothing."""
    return await _organizations(request).set_state(caller, organization_id, payload.state)


@router.delete(
    "/organizations/{organization_id}",
    operation_id="closeOrganization",
    summary="Close an organization for good",
    tags=["platform"],
    openapi_extra=_OURS,
)
async def close_organization(
    request: Request, caller: _Operator, organization_id: str
) -> schemas.OrganizationSummary:
    """Close an organization: its keys open nothing any more; runs and files stay."""
    return await _organizations(request).set_state(caller, organization_id, CLOSED)


def _accounts(request: Request) -> Accounts:
    service: Accounts = request.app.state.services.accounts
    return service


def _people(request: Request) -> People:
    service: People = request.app.state.services.people
    return service


def _organizations(request: Request) -> Organizations:
    service: Organizations = request.app.state.services.organizations
    return service
