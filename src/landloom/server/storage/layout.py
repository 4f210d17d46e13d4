"""Where things lie in managed storage: `<bucket>/<organization>/data/...`."""

from __future__ import annotations

from dataclasses import dataclass

SCHEME = "s3://"


@dataclass(frozen=True, slots=True)
class UserStorage:
    """One user's places in managed storage. Prefixes and URIs end with `/`."""

    bucket: str
    organization_id: str
    user_id: str

    @property
    def root_prefix(self) -> str:
        """The organization's part of the bucket."""
        return f"{self.organization_id}/"

    @property
    def private_prefix(self) -> str:
        """What only this user reads and writes."""
        return f"{self.organization_id}/data/customer-{self.user_id}/"

    @property
    def shared_prefix(self) -> str:
        """What everybody in the organization reads and writes."""
        return f"{self.organization_id}/data/shared/"

    @property
    def writable_prefixes(self) -> tuple[str, ...]:
        """Every prefix under which this user may write."""
        return (self.private_prefix, self.shared_prefix)

    @property
    def user_path(self) -> str:
        """USER_S3_PATH."""
        return f"{SCHEME}{self.bucket}/{self.private_prefix}"

    @property
    def shared_path(self) -> str:
        """USER_S3_SHARED_PATH."""
        return f"{SCHEME}{self.bucket}/{self.shared_prefix}"

    @property
    def warehouse_path(self) -> str:
        """USER_WAREHOUSE_PATH."""
        return f"{self.user_path}warehouse/"

    def workflow_path(self, workflow_id: str) -> str:
        """Return where a workflow writes that named no bucket."""
        return f"{self.user_path}rasterflow/{workflow_id}/"

    def contains(self, uri: str) -> bool:
        """Say whether `uri` lies in the organization's part of the managed storage."""
        return uri.startswith(f"{SCHEME}{self.bucket}/{self.root_prefix}")


def split_uri(uri: str) -> tuple[str, str] | None:
    """Return bucket and key of `s3://bucket/key`, or None where `uri` is not of that form."""
    if not uri.startswith(SCHEME):
        return None
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    return (bucket, key) if bucket and key else None
