"""Lends keys: checks what the caller may reach, and asks the store for keys that reach no more."""

from __future__ import annotations

from typing import Any

from landloom.errors import BadRequest, Conflict, Forbidden, Unavailable
from landloom.server.settings import Settings
from landloom.server.storage.admin import Credentials, ObjectStoreAdmin
from landloom.server.storage.layout import SCHEME
from landloom.server.storage.lending import schemas
from landloom.server.storage.places import MANAGED, Source
from landloom.server.storage.quota.service import Quota
from landloom.server.storage.scopes import Scope
from landloom.server.storage.sources import Holder, Sources


class Lending:
    """Lends keys to the managed storage."""

    def __init__(
        self,
        settings: Settings,
        sources: Sources,
        object_store: ObjectStoreAdmin,
        quota: Quota,
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._object_store = object_store
        self._quota = quota

    async def lend(
        self, holder: Holder, request: schemas.StorageCredentialsRequest
    ) -> schemas.TemporaryAwsCredentials:
        """Return keys that reach the path and nothing else.

        Raises:
            BadRequest: The path lies in no storage source, or in an integration.
            Forbidden: The caller does not reach it, or may not write to it.
            QuotaExceeded: As much is stored as may be.
            Conflict: The store has no temporary keys.
            Unavailable: The store does not answer.
        """
        bucket, _, key = request.path.removeprefix(SCHEME).partition("/")
        writable = request.access_mode == "read_write"
        source = await self._require_reachable(holder, bucket, key)
        if writable:
            await self._quota.admit(source, seconds=self._settings.lending_seconds)
        keys = await self._keys(Scope(bucket, (key,), writable))
        return schemas.TemporaryAwsCredentials(**_fields(keys), region=self._settings.s3_region)

    async def lend_home(self, holder: Holder) -> schemas.IngestCredentials:
        """Return keys to read and write the caller's own folder."""
        source = await self._sources.managed(holder)
        await self._quota.admit(source, seconds=self._settings.lending_seconds)
        keys = await self._keys(Scope(source.bucket, (source.home,), writable=True))
        return schemas.IngestCredentials(**_fields(keys))

    async def _require_reachable(self, holder: Holder, bucket: str, key: str) -> Source:
        source = await self._sources.find(holder, bucket, key)
        if source.kind != MANAGED or source.storage is None:
            raise BadRequest(
                f"Keys to {SCHEME}{bucket} are not lent: it is the integration {source.name!r}.",
                suggestion="Runs reach it by the profile of its name.",
                field="path",
            )
        if not key.strip("/") or not source.storage.reaches(key):
            raise Forbidden(
                f"You have no right to {SCHEME}{bucket}/{key}.",
                suggestion=f"Ask for keys to {source.path} or below it.",
            )
        return source

    async def _keys(self, scope: Scope) -> Credentials:
        if not self._object_store.can_scope:
            raise Conflict(
                "The object store of this platform has no temporary keys.",
                suggestion="Use presigned URLs, POST /files/upload-url, or your own keys.",
            )
        keys = await self._object_store.lend(scope, seconds=self._settings.lending_seconds)
        if keys.session_token is None or keys.expires_at is None:
            raise Unavailable("The object store lent keys without an end.")
        return keys


def _fields(keys: Credentials) -> dict[str, Any]:
    return {
        "access_key_id": keys.access_key,
        "secret_access_key": keys.secret_key,
        "session_token": keys.session_token,
        "expiration": keys.expires_at,
    }
