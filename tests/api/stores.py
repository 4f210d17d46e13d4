"""Real stores for platforms of tests: one that Landloom starts, or one that somebody else runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from pydantic import SecretStr

from landloom.server.settings import Settings
from landloom.server.storage.admin import Credentials, ObjectStoreAdmin
from landloom.server.storage.clients import s3_client
from landloom.server.storage.objects import S3Objects
from landloom.server.storage.places import StoreAccess
from landloom.server.storage.scopes import Scope
from landloom.stack.externalstore import ExternalStore

BUCKET = "landloom"
FOREIGN = "LANDLOOM_TEST_S3_"
"""Prefix of ENDPOINT, ACCESS_KEY, SECRET_KEY, ROLE_ARN, STS_ENDPOINT, ADDRESSING, REGION."""


@dataclass
class RealStore:
    """A store, in the shape in which platforms of tests take theirs."""

    admin: ObjectStoreAdmin
    access: StoreAccess
    """As its administrator."""
    takes_rights_back: bool = True
    """Whether keys that a user holds are refused once the user's rights are withdrawn."""
    has_files_beside_folders: bool = True
    """Whether `p` and `p/q` may both be there, and are both listed."""
    lists_uploads: bool = True
    """Whether unfinished uploads are listed by a prefix, to keys to that prefix."""
    _door: S3Objects = field(default_factory=S3Objects, repr=False)

    @property
    def settings(self) -> dict[str, Any]:
        """What a platform on it is told of it."""
        return {
            "s3_endpoint": self.access.endpoint_url,
            "s3_region": self.access.region,
            "s3_addressing": self.access.addressing,
            "bucket": BUCKET,
        }

    @property
    def can_scope(self) -> bool:
        return self.admin.can_scope

    @property
    def endpoint(self) -> str:
        return self.access.endpoint_url

    async def ensure_bucket(self, name: str) -> None:
        await self.admin.ensure_bucket(name)

    async def ensure_user(
        self, user_id: str, *, bucket: str, read_write: Sequence[str]
    ) -> Credentials:
        return await self.admin.ensure_user(user_id, bucket=bucket, read_write=read_write)

    async def withdraw_user(self, user_id: str) -> None:
        await self.admin.withdraw_user(user_id)

    async def lend(self, scope: Scope, *, seconds: int | None = None) -> Credentials:
        return await self.admin.lend(scope, seconds=seconds)

    async def download(self, access: StoreAccess, bucket: str, key: str, destination: Path) -> None:
        await self._door.download(access, bucket, key, destination)

    def client(self, keys: Credentials | None = None):
        """Return a boto3 client of these keys; of the administrator's by default."""
        return s3_client(replace(self.access, credentials=keys)) if keys else self._client

    @cached_property
    def _client(self):
        return s3_client(self.access)

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """Write an object with the administrator's keys."""
        self.client().put_object(Bucket=bucket, Key=key, Body=body)


def foreign_store(access: StoreAccess, folder: Path, **more: str) -> RealStore:
    """Return a foreign store, tried out; `more` are further settings of a platform on it."""
    assert access.credentials is not None
    settings = Settings(
        _env_file=None,
        data_dir=folder,
        bucket=BUCKET,
        s3_endpoint=access.endpoint_url,
        s3_region=access.region,
        s3_addressing=access.addressing,
        admin_access_key=SecretStr(access.credentials.access_key),
        admin_secret_key=SecretStr(access.credentials.secret_key),
        **more,
    )
    admin = ExternalStore(settings)
    admin.ensure()
    store = RealStore(admin, access, takes_rights_back=False)
    store.has_files_beside_folders = _has_files_beside_folders(store.client())
    store.lists_uploads = _lists_uploads(store.client())
    return store


def _has_files_beside_folders(client) -> bool:
    names = ["trial/p", "trial/p/q"]
    try:
        for name in names:
            client.put_object(Bucket=BUCKET, Key=name, Body=b"x")
        found = client.list_objects_v2(Bucket=BUCKET, Prefix="trial/", Delimiter="/")
    except ClientError:
        return False
    finally:
        for name in reversed(names):
            with suppress(ClientError):
                client.delete_object(Bucket=BUCKET, Key=name)
    return bool(found.get("Contents")) and bool(found.get("CommonPrefixes"))


def _lists_uploads(client) -> bool:
    named = {"Bucket": BUCKET, "Key": "trial/upload"}
    upload = client.create_multipart_upload(**named)["UploadId"]
    try:
        found = client.list_multipart_uploads(Bucket=BUCKET, Prefix="trial/")
    finally:
        client.abort_multipart_upload(**named, UploadId=upload)
    return bool(found.get("Uploads"))


def named_store(folder: Path) -> RealStore | None:
    """Return the foreign store that the environment names for the whole suite, if it does."""
    said = {
        name.removeprefix(FOREIGN).lower(): value
        for name, value in os.environ.items()
        if name.startswith(FOREIGN)
    }
    if "endpoint" not in said:
        return None
    access = StoreAccess(
        said["endpoint"],
        said.get("region", "us-east-1"),
        Credentials(said["access_key"], said["secret_key"]),
        said.get("addressing", "path"),
    )
    further = {f"s3_{name}": said[name] for name in ("role_arn", "sts_endpoint") if name in said}
    return foreign_store(access, folder, **further)
