"""`GET /users/me` and `GET /organization`."""

from __future__ import annotations

from fastapi import APIRouter, Request

from landloom.server.accounts import schemas
from landloom.server.accounts.auth import CallerOf
from landloom.server.accounts.service import Accounts

router = APIRouter()


@router.get(
    "/users/me",
    operation_id="getMe",
    summary="Read the calling principal",
    tags=["users", "me"],
)
async def read_me(request: Request, caller: CallerOf) -> schemas.HumanPrincipal:
    """Return the owner of the key."""
    return await _accounts(request).me(caller)


@router.get(
    "/organization",
    operation_id="getMyOrganization",
    summary="Read the caller's organization",
    tags=["organization"],
)
async def read_organization(request: Request, caller: CallerOf) -> schemas.Organization:
    """Return the organization of the key's owner."""
    return await _accounts(request).organization(caller)


def _accounts(request: Request) -> Accounts:
    service: Accounts = request.app.state.services.accounts
    return service
