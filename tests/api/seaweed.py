"""A real store for platforms of tests: SeaweedFS, as `landloom up` starts it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config

from landloom.server.storage.admin import Credentials
from landloom.server.storage.objects import S3Objects
from landloom.server.storage.places import StoreAccess
from landloom.server.storage.scopes import Scope
from landloom.stack.files import private_folder
from landloom.stack.identities import ADMIN
from landloom.stack.objectstore import EmbeddedStore
from landloom.stack.ports import pick
from landloom.stack.secrets import MasterSecret
from landloom.stack.storeadmin import EmbeddedStoreAdmin
from landloom.stack.weed import StorePorts, WeedConfig


@dataclass
class RealStore:
    """A SeaweedFS, in the shape in which platforms of tests take their stores."""

    store: EmbeddedStore

    def __post_init__(self) -> None:
        self._admin = EmbeddedStoreAdmin(self.store)
        self._door = S3Objects()
        secret = self.store.config.secret
        self._keys = secret.access_key(ADMIN), secret.secret_key(ADMIN)

    @property
    def can_scope(self) -> bool:
        return self._admin.can_scope

    @property
    def endpoint(self) -> str:
        return self.store.config.endpoint_url

    async def ensure_bucket(self, name: str) -> None:
        await self._admin.ensure_bucket(name)

    async def ensure_user(
        self, user_id: str, *, bucket: str, read_write: Sequence[str]
    ) -> Credentials:
        return await self._admin.ensure_user(user_id, bucket=bucket, read_write=read_write)

    async def withdraw_user(self, user_id: str) -> None:
        await self._admin.withdraw_user(user_id)

    async def lend(self, scope: Scope, *, seconds: int | None = None) -> Credentials:
        return await self._admin.lend(scope, seconds=seconds)

    async def download(self, access: StoreAccess, bucket: str, key: str, destination: Path) -> None:
        await self._door.download(access, bucket, key, destination)

    def client(self, access_key: str = "", secret_key: str = ""):
        """Return a boto3 client of these keys; of the administrator's by default."""
        access_key, secret_key = (access_key, secret_key) if access_key else self._keys
        return boto3.session.Session(
            aws_access_key_id=access_key, aws_secret_access_key=secret_key, region_name="us-east-1"
        ).client("s3", endpoint_url=self.endpoint, config=Config(s3={"addressing_style": "path"}))

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """Write an object with the administrator's keys."""
        self.client().put_object(Bucket=bucket, Key=key, Body=body)


@contextlib.contextmanager
def real_store(folder: Path) -> Iterator[RealStore]:
    """Run a store of its own in a folder."""
    private_folder(folder)
    master, volume, filer, s3 = pick(4, with_grpc=True)
    config = WeedConfig(
        folder / "store",
        folder / "store-conf",
        StorePorts(master=master, volume=volume, filer=filer, s3=s3),
        MasterSecret.ensure(folder / "secret"),
    )
    store = EmbeddedStore(config, "landloom", folder / "store.log", folder / "store.pid")
    store.ensure()
    try:
        yield RealStore(store)
    finally:
        store.end()
