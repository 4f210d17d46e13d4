"""Places where S3 lives that a caller may reach: the managed storage, and integrations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from landloom.server.storage.admin import Credentials
from landloom.server.storage.layout import SCHEME, Protection, UserStorage

MANAGED: Final = "MANAGED"
INTEGRATION: Final = "INTEGRATION"

type SourceKind = Literal["MANAGED", "INTEGRATION"]
type Addressing = Literal["path", "virtual"]


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """How to reach one S3 store, and with whose keys."""

    endpoint_url: str
    """Without a bucket in it."""
    region: str
    """Region that requests are signed for."""
    credentials: Credentials | None
    """None sends requests unsigned: a public bucket."""
    addressing: Addressing = "path"
    public_url: str | None = None
    """Where those who are given a presigned URL reach the store; None is `endpoint_url`."""


@dataclass(frozen=True, slots=True)
class Source:
    """A place in one store. Keys below are whole keys of the bucket."""

    id: str
    name: str
    kind: SourceKind
    bucket: str
    prefix: str
    """Empty for a whole bucket; otherwise it ends with `/`."""
    access: StoreAccess
    read_only: bool
    created_at: datetime
    updated_at: datetime
    region: str
    """As the API shows it; what requests are signed for is the access's."""
    storage: UserStorage | None = None
    """The caller's own places where this is the managed storage; None for an integration."""
    start: str | None = None
    """Prefix that paths in it are told from; None is the caller's own folder, or `prefix`."""
    profile: str = "default"
    """Name of the AWS profile by which jobs reach it."""
    role_arn: str | None = None
    """Role that an integration's keys are made of; None where there is none."""

    @property
    def home(self) -> str:
        """Prefix under which a client writes that was told no other."""
        if self.start is not None:
            return self.start
        return self.storage.private_prefix if self.storage else self.prefix

    @property
    def path(self) -> str:
        """`home` as a URI, ending with `/`."""
        return f"{SCHEME}{self.bucket}/{self.home}"

    def holds(self, bucket: str, key: str) -> bool:
        """Say whether an object, or a folder with or without its last slash, lies in here.

        The managed bucket itself does: what a caller sees of it is all in here.
        """
        if bucket != self.bucket:
            return False
        inside = f"{key.rstrip('/')}/".startswith(self.prefix)
        return inside or (not key and self.storage is not None)

    def protection(self, key: str) -> Protection:
        """Return what may not be done to the object or folder at `key`."""
        if self.storage is not None:
            return self.storage.protection(key)
        at_root = key.rstrip("/") == self.prefix.rstrip("/")
        return Protection(mutate=self.read_only or at_root, upload=self.read_only)
