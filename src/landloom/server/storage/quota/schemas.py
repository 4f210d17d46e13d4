"""Bodies about what lies where in managed storage."""

from __future__ import annotations

from landloom.server.kit.camel import CamelAnswer
from landloom.server.kit.clock import WireTime


class FolderUse(CamelAnswer):
    """A folder right under a prefix."""

    name: str
    bytes: int
    objects: int


class PrefixUse(CamelAnswer):
    """What lies under one prefix."""

    path: str
    """An `s3://` URI that ends with `/`."""
    own: bool
    """Whether it counts against the caller's own quota; all count against the organization's."""
    bytes: int
    objects: int
    folders: list[FolderUse]
    """The largest folders right under it, largest first."""
    measured_at: WireTime | None
    """None before the first time."""


class StorageUsage(CamelAnswer):
    """What the caller and the organization store, and how much they may."""

    bytes: int
    """In the caller's own prefixes."""
    quota_bytes: int | None
    """None is no bound."""
    organization_bytes: int
    organization_quota_bytes: int | None
    prefixes: list[PrefixUse]
