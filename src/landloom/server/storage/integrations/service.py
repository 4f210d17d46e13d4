"""The rules of storage integrations."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Sequence
from typing import Any, Final

import httpx
import structlog
from sqlalchemy.exc import IntegrityError

from landloom.errors import BadRequest, Conflict, InvalidInput, LandloomError, NotFound
from landloom.server.accounts.keys import Caller
from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.kit.ids import new_id
from landloom.server.settings import Settings
from landloom.server.storage.integrations import documents, probe, repository, schemas
from landloom.server.storage.integrations.access import AWS_DOMAIN, IntegrationAccess, is_aws
from landloom.server.storage.integrations.tables import StorageIntegration
from landloom.server.storage.layout import SCHEME
from landloom.server.storage.places import INTEGRATION, MANAGED, Source, StoreAccess

_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")
"""What the name of an AWS profile does without: it stands in brackets, and on command lines."""
_TAKEN_PROFILES: Final = frozenset({"default"})
_REGION_HEADER: Final = "x-amz-bucket-region"
_SECONDS: Final = 3.0

_log = structlog.get_logger("landloom.storage")


class Integrations:
    """Registers, shows, tests and removes integrations, and is a source of them for jobs."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._access = IntegrationAccess(settings.sealer, settings.aws_credentials)

    async def sources(self, organization_id: str) -> Sequence[Source]:
        """Return the organization's integrations, oldest first, each with keys."""
        async with self._database.reading(organization_id) as session:
            rows = await repository.all_of(session)
        accesses = await asyncio.gather(*map(self._access.if_any, rows))
        return [_source(row, access) for row, access in zip(rows, accesses, strict=True)]

    async def create(
        self, caller: Caller, request: schemas.CreateIntegration
    ) -> schemas.StorageIntegration:
        """Register an integration; nothing of it is tried yet.

        Raises:
            InvalidInput: The bucket is the platform's own, or the role cannot be assumed from here.
            Conflict: There is one of this name.
        """
        self._check(request)
        row = _row(caller, request, await self._region(request))
        if request.secret_access_key is not None:
            row.sealed_secret = self._access.seal(row, request.secret_access_key.get_secret_value())
        try:
            async with self._database.writing(caller.organization_id) as session:
                session.add(row)
        except IntegrityError as problem:
            raise Conflict(
                f"There is a storage integration called {request.name!r}, or one whose name differs"
                " from it only in characters that no AWS profile can have.",
                suggestion="Choose another name, or delete that one first.",
            ) from problem
        _log.info("integration registered", integration=row.id, bucket=row.bucket)
        return _view(row)

    async def get(self, caller: Caller, integration_id: str) -> schemas.StorageIntegration:
        """Return an integration.

        Raises:
            NotFound: The caller's organization has no such integration.
        """
        return _view(await self._find(caller, integration_id))

    async def delete(self, caller: Caller, integration_id: str) -> None:
        """Forget an integration and its keys; what lies there stays.

        Raises:
            NotFound: The caller's organization has no such integration.
        """
        async with self._database.writing(caller.organization_id) as session:
            row = await repository.find(session, integration_id)
            if row is None:
                raise _unknown(integration_id)
            await session.delete(row)
        _log.info("integration removed", integration=integration_id)

    async def test(self, caller: Caller, integration_id: str) -> schemas.StorageIntegrationAccess:
        """Find out what may be done at an integration.

        Raises:
            NotFound: The caller's organization has no such integration.
        """
        row = await self._find(caller, integration_id)
        return await self._try(row, self._access.of(row))

    async def test_by_tags(
        self, caller: Caller, integration_id: str
    ) -> schemas.StorageIntegrationAccess:
        """Find out what a session may do that carries organization and user as its tags.

        Only sessions of roles carry tags; without a role nothing is possible by them.

        Raises:
            NotFound: The caller's organization has no such integration.
        """
        row = await self._find(caller, integration_id)
        if row.role_arn is None:
            return schemas.StorageIntegrationAccess(problems=["Only sessions of roles carry tags."])
        tags = {"organization": caller.organization_id, "user": caller.user_id}
        return await self._try(row, self._access.tagged(row, tags))

    async def sample_policy(self, caller: Caller, integration_id: str) -> dict[str, Any]:
        """Return the IAM policy that an integration's keys or role need.

        Raises:
            NotFound: The caller's organization has no such integration.
        """
        row = await self._find(caller, integration_id)
        return documents.access_policy(row.bucket, row.prefix, writable=not row.read_only)

    async def trust_relationship(self, caller: Caller, accounts: Sequence[str]) -> dict[str, Any]:
        """Return the trust policy for a role that this organization's integrations assume.

        Args:
            caller: Of the organization whose id is the external id.
            accounts: AWS accounts to trust beside the platform's own; none means those with which
                the organization's integrations were registered.

        Raises:
            BadRequest: The platform has no AWS principal, and no account was named.
        """
        own = self._settings.aws_principal
        accounts = accounts or await self._trusted_accounts(caller)
        principals = [*([own] if own else []), *accounts]
        if not principals:
            raise BadRequest(
                "This platform has no AWS account of its own that a role could trust.",
                suggestion="Name the account whose keys the integration has, by trustedAccountIds.",
            )
        return documents.trust_relationship(principals, caller.organization_id)

    async def _trusted_accounts(self, caller: Caller) -> list[str]:
        async with self._database.reading(caller.organization_id) as session:
            rows = await repository.all_of(session)
        return list(dict.fromkeys(each for row in rows for each in row.trusted_accounts))

    async def openness(
        self, source: Source | None, bucket: str, key: str
    ) -> schemas.S3AccessApiResponse:
        """Say who may read a place.

        Args:
            source: The caller's source that it lies in; None asks AWS.
            bucket: The bucket.
            key: An object, a folder, or nothing.

        Raises:
            BadRequest: The store does not answer.
        """
        if source is not None and source.kind == MANAGED:
            return schemas.S3AccessApiResponse(access_type=probe.PRIVATE)
        if source is not None:
            access = source.access
        else:
            region = await self._aws_region(bucket) or self._settings.s3_region
            access = StoreAccess(
                f"https://s3.{region}{AWS_DOMAIN}", region, self._settings.aws_credentials
            )
        try:
            found = await probe.openness(access, bucket, key)
        except httpx.HTTPError as problem:
            raise BadRequest(
                f"Nobody answers for {SCHEME}{bucket} at {access.endpoint_url}"
                f" ({type(problem).__name__}).",
                suggestion="Register the place as an integration, with its own endpoint.",
            ) from problem
        return schemas.S3AccessApiResponse(access_type=found)

    async def _try(
        self, row: StorageIntegration, access: Awaitable[StoreAccess]
    ) -> schemas.StorageIntegrationAccess:
        try:
            reached = await access
        except LandloomError as problem:
            return schemas.StorageIntegrationAccess(problems=[str(problem)])
        found = await probe.permissions(reached, row.bucket, row.prefix, read_only=row.read_only)
        return schemas.StorageIntegrationAccess(
            list_access="list" in found.granted,
            get_access="get" in found.granted,
            put_access="put" in found.granted,
            delete_access="delete" in found.granted,
            problems=list(found.problems),
        )

    def _check(self, request: schemas.CreateIntegration) -> None:
        if request.bucket == self._settings.bucket:
            raise InvalidInput(
                f"path: {request.bucket!r} is the name of the managed storage's own bucket.",
                suggestion="Buckets are told apart by name: use one of another name.",
                field="path",
            )
        if _profile(request.name).lower() in _TAKEN_PROFILES:
            raise InvalidInput(
                f"name: {request.name!r} is the AWS profile of the managed storage.",
                suggestion="Choose another name.",
                field="name",
            )
        # The platform's own keys sign for AWS alone.
        elsewhere = request.endpoint_url is not None and not is_aws(request.endpoint_url)
        own = None if elsewhere else self._settings.aws_credentials
        if request.role_arn and request.access_key_id is None and own is None:
            raise InvalidInput(
                "roleArn: there are no keys here with which the role could be assumed.",
                suggestion="Send accessKeyId and secretAccessKey of whom the role trusts.",
                field="roleArn",
            )

    async def _region(self, request: schemas.CreateIntegration) -> str:
        """Return what to sign for: as asked, or where AWS says it is, or the server's setting."""
        if request.region is not None:
            return request.region
        if request.endpoint_url is not None and not is_aws(request.endpoint_url):
            return self._settings.s3_region
        return await self._aws_region(request.bucket) or self._settings.s3_region

    async def _aws_region(self, bucket: str) -> str | None:
        """Ask AWS where a bucket is; the answer says so even where it refuses the rest."""
        try:
            async with httpx.AsyncClient(timeout=_SECONDS) as client:
                answer = await client.head(f"https://s3{AWS_DOMAIN}/{bucket}")
        except httpx.HTTPError:
            return None
        return str(answer.headers.get(_REGION_HEADER) or "") or None

    async def _find(self, caller: Caller, integration_id: str) -> StorageIntegration:
        async with self._database.reading(caller.organization_id) as session:
            row = await repository.find(session, integration_id)
        if row is None:
            raise _unknown(integration_id)
        return row


def _unknown(integration_id: str) -> NotFound:
    return NotFound(
        f"There is no storage integration {integration_id!r}.",
        suggestion="GET /storage lists what there is, each with its id.",
    )


def _row(caller: Caller, request: schemas.CreateIntegration, region: str) -> StorageIntegration:
    endpoint = request.endpoint_url or f"https://s3.{region}{AWS_DOMAIN}"
    made_at = now()
    return StorageIntegration(
        id=new_id(),
        created_at=made_at,
        updated_at=made_at,
        organization_id=caller.organization_id,
        name=request.name,
        profile=_profile(request.name),
        bucket=request.bucket,
        prefix=request.prefix,
        endpoint_url=endpoint,
        region=region,
        addressing=request.addressing_style or ("virtual" if is_aws(endpoint) else "path"),
        read_only=request.access_type == "READ",
        access_key=request.access_key_id,
        role_arn=request.role_arn or None,
        trusted_account_ids=",".join(request.trusted_account_ids),
        created_by_id=caller.user_id,
    )


def _profile(name: str) -> str:
    return _UNFIT.sub("-", name)


def _source(row: StorageIntegration, access: StoreAccess) -> Source:
    return Source(
        id=row.id,
        name=row.name,
        kind=INTEGRATION,
        bucket=row.bucket,
        prefix=row.prefix,
        access=access,
        read_only=row.read_only,
        created_at=row.created_at,
        updated_at=row.updated_at,
        region=row.region,
        profile=row.profile,
        role_arn=row.role_arn,
    )


def _view(row: StorageIntegration) -> schemas.StorageIntegration:
    return schemas.StorageIntegration.model_validate(
        {
            "id": row.id,
            "create_time": row.created_at,
            "update_time": row.updated_at,
            "name": row.name,
            "path": f"{SCHEME}{row.bucket}/{row.prefix}",
            "role_arn": row.role_arn,
            "region": row.region,
            "read_only": row.read_only,
            "endpoint_url": row.endpoint_url,
            "addressing_style": row.addressing,
            "profile": row.profile,
            "trusted_account_ids": row.trusted_accounts,
            "signed": row.access_key is not None or row.role_arn is not None,
        }
    )
