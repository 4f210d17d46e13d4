"""The routes by which temporary keys are asked for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request

from landloom.server.accounts.auth import having
from landloom.server.accounts.keys import Caller
from landloom.server.storage.lending import schemas
from landloom.server.storage.lending.service import Lending

router = APIRouter()


@router.post(
    "/storage/credentials",
    operation_id="getStorageCredentials",
    summary="Get temporary S3 credentials for a path",
    tags=["storage"],
)
async def lend_credentials(
    request: Request,
    caller: Annotated[Caller, having("files:lend")],
    payload: schemas.StorageCredentialsRequest,
) -> schemas.TemporaryAwsCredentials:
    """Return keys that reach the path alone, to read or to read and write, and that end."""
    return await _lending(request).lend(caller, payload)


@router.post(
    "/files/ingest-credentials",
    operation_id="createIngestCredentials",
    summary="Get ingest credentials (deprecated)",
    tags=["files"],
    deprecated=True,
    openapi_extra={"x-exclude-from-cli": True},
)
async def lend_ingest_credentials(
    request: Request, caller: Annotated[Caller, having("files:lend")]
) -> schemas.IngestCredentials:
    """Return keys to the caller's own folder that end."""
    return await _lending(request).lend_home(caller)


def _lending(request: Request) -> Lending:
    service: Lending = request.app.state.services.lending
    return service
