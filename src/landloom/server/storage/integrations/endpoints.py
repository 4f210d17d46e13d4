"""The routes of storage integrations."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, status

from landloom.errors import BadRequest
from landloom.server.accounts.auth import having
from landloom.server.accounts.keys import Caller
from landloom.server.storage.integrations import schemas
from landloom.server.storage.integrations.service import Integrations
from landloom.server.storage.layout import SCHEME
from landloom.server.storage.sources import Sources

router = APIRouter(tags=["storage"])
"""Goes behind the other routes below `/storage`: `/storage/{integration_id}` would take them."""

_HIDDEN: Final[dict[str, Any]] = {"x-exclude-from-cli": True}

type _Reader = Annotated[Caller, having("files:read")]
type _Writer = Annotated[Caller, having("files:write")]
type _Admin = Annotated[Caller, having("integrations:administer")]
type _Accounts = Annotated[list[schemas.AccountId] | None, Query(max_length=20)]


@router.post(
    "/storage",
    operation_id="createIntegration",
    summary="Register a storage integration",
    status_code=status.HTTP_201_CREATED,
)
async def create_integration(
    request: Request, caller: _Admin, payload: schemas.CreateIntegration
) -> schemas.StorageIntegration:
    """Register another S3 location; its keys are sealed and never shown again."""
    return await _integrations(request).create(caller, payload)


@router.get(
    "/storage/trust-relationship",
    operation_id="getTrustRelationship",
    summary="Get the IAM trust document",
)
async def read_trust_relationship(
    request: Request,
    caller: _Reader,
    trustedAccountIds: _Accounts = None,  # noqa: N803 - its name on the wire
) -> dict[str, Any]:
    """Return the trust policy of a role for this organization's integrations."""
    return await _integrations(request).trust_relationship(caller, trustedAccountIds or ())


@router.get(
    "/storage/s3-access-type",
    operation_id="getS3AccessType",
    summary="Find out who may read a place",
)
async def read_access_type(
    request: Request, caller: _Reader, s3_path: Annotated[str, Query(max_length=2048)]
) -> schemas.S3AccessApiResponse:
    """Return `free` where anybody may read, `requester_pays` where readers pay, or `private`."""
    bucket, key = _place(s3_path)
    try:
        source = await _sources(request).find(caller, bucket, key)
    except BadRequest:
        source = None
    return await _integrations(request).openness(source, bucket, key)


@router.get(
    "/storage/{integration_id}",
    operation_id="getIntegration",
    summary="Read an integration",
)
async def read_integration(
    request: Request, caller: _Reader, integration_id: str
) -> schemas.StorageIntegration:
    """Return an integration, without its keys."""
    return await _integrations(request).get(caller, integration_id)


@router.delete(
    "/storage/{integration_id}",
    operation_id="deleteIntegration",
    summary="Remove an integration",
)
async def delete_integration(
    request: Request, caller: _Admin, integration_id: str
) -> dict[str, str]:
    """Forget an integration and its keys; what lies there stays."""
    await _integrations(request).delete(caller, integration_id)
    return {}


@router.post(
    "/storage/{integration_id}/access",
    operation_id="verifyIntegrationAccess",
    summary="Probe an integration's permissions",
)
async def verify_access(
    request: Request, caller: _Writer, integration_id: str
) -> schemas.StorageIntegrationAccess:
    """Try to list, get, put and delete, and say what was possible."""
    return await _integrations(request).test(caller, integration_id)


@router.get(
    "/storage/{integration_id}/sample-policy",
    operation_id="getSamplePolicy",
    summary="Get a sample IAM policy",
)
async def read_sample_policy(
    request: Request, caller: _Reader, integration_id: str
) -> dict[str, Any]:
    """Return the least policy that the integration's keys or role need."""
    return await _integrations(request).sample_policy(caller, integration_id)


@router.post(
    "/storage/{integration_id}/abacaccess",
    operation_id="verifyAbacAccess",
    summary="Probe tag-based access",
    openapi_extra=_HIDDEN,
)
async def verify_tagged_access(
    request: Request, caller: _Writer, integration_id: str
) -> schemas.StorageIntegrationAccess:
    """Try the same by a session of the role that carries organization and user as its tags."""
    return await _integrations(request).test_by_tags(caller, integration_id)


def _place(s3_path: str) -> tuple[str, str]:
    bucket, _, key = s3_path.removeprefix(SCHEME).partition("/")
    if not s3_path.startswith(SCHEME) or not schemas.is_bucket(bucket):
        raise BadRequest(
            f"s3_path: {s3_path!r} is not of the form s3://bucket/key.",
            suggestion="Name a bucket of 3 to 63 letters, digits, dots, dashes and underscores.",
        )
    return bucket, key


def _integrations(request: Request) -> Integrations:
    integrations: Integrations = request.app.state.services.integrations
    return integrations


def _sources(request: Request) -> Sources:
    sources: Sources = request.app.state.services.sources
    return sources
