"""The route of usage numbers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request

from landloom.server.accounts.auth import having
from landloom.server.accounts.keys import Caller
from landloom.server.storage.quota import schemas
from landloom.server.storage.quota.service import Quota

router = APIRouter(tags=["storage"])


@router.get(
    "/storage/usage",
    operation_id="getStorageUsage",
    summary="See how much lies where, and how much may",
    openapi_extra={"x-exclude-from-cli": True},
)
async def read_storage_usage(
    request: Request, caller: Annotated[Caller, having("files:read")]
) -> schemas.StorageUsage:
    """Return what was last measured under each prefix that the caller reaches."""
    quota: Quota = request.app.state.services.quota
    return await quota.usage(caller)
