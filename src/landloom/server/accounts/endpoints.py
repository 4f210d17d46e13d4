"""The routes of the caller, the organization and API keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request

from landloom.server.accounts import schemas
from landloom.server.accounts.auth import having
from landloom.server.accounts.keys import Caller
from landloom.server.accounts.service import Accounts

router = APIRouter()


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


def _accounts(request: Request) -> Accounts:
    service: Accounts = request.app.state.services.accounts
    return service
