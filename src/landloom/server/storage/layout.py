"""Where things lie in managed storage: `<bucket>/<organization>/data/...`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SCHEME: Final = "s3://"


@dataclass(frozen=True, slots=True)
class Protection:
    """What may not be done to an object or a folder."""

    mutate: bool
    """It may not be renamed or deleted."""
    upload: bool
    """Nothing may be written into it; of an object, it may not be overwritten."""


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
    def notebooks_prefix(self) -> str:
        """Notebooks that only this user reads and writes."""
        return f"{self.organization_id}/notebooks/customer-{self.user_id}/"

    @property
    def shared_notebooks_prefix(self) -> str:
        """Notebooks of everybody in the organization."""
        return f"{self.organization_id}/notebooks/shared/"

    @property
    def spark_logs_prefix(self) -> str:
        """Event logs of everybody's Spark jobs in the organization."""
        return f"{self.organization_id}/spark-logs/"

    @property
    def writable_prefixes(self) -> tuple[str, ...]:
        """Every prefix under which this user may read and write; there is no other to read."""
        return (
            self.private_prefix,
            self.shared_prefix,
            self.notebooks_prefix,
            self.shared_notebooks_prefix,
            self.spark_logs_prefix,
        )

    def fixed_folders(self, prefix: str) -> tuple[str, ...] | None:
        """Return the folders at `prefix` where those are fixed: above the writable ones.

        Args:
            prefix: Ends with `/`.

        Returns:
            Prefixes that end with `/`, sorted; None where users decide what there is.
        """
        if not prefix.startswith(self.root_prefix) or self.reaches(prefix):
            return None
        below = {
            prefix + each.removeprefix(prefix).split("/", 1)[0] + "/"
            for each in self.writable_prefixes
            if each.startswith(prefix)
        }
        return tuple(sorted(below)) or None

    def reaches(self, key: str) -> bool:
        """Say whether the user's keys reach the object or folder at `key`."""
        return f"{key.rstrip('/')}/".startswith(self.writable_prefixes)

    def protection(self, key: str) -> Protection:
        """Return what may not be done to the object or folder at `key`.

        The root, `data/`, `notebooks/` and what others own are read-only; the writable folders
        take objects, but cannot be renamed or deleted themselves.
        """
        is_fixed = f"{key.rstrip('/')}/" in self.writable_prefixes
        upload = not self.reaches(key)
        return Protection(mutate=upload or is_fixed, upload=upload)

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
        return uri.startswith(f"{SCHEME}{self.bucket}/{self.root_prefix}") and not goes_up(uri)


def goes_up(key: str) -> bool:
    """Say whether a level of a key is `.` or `..`.

    To S3 that is a name like any other; clients and stores that take it for a way would end up
    elsewhere than where the beginning of the key says.
    """
    return not {".", ".."}.isdisjoint(key.split("/"))


def split_uri(uri: str) -> tuple[str, str] | None:
    """Return bucket and key of `s3://bucket/key`, or None where `uri` is not of that form."""
    if not uri.startswith(SCHEME):
        return None
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    return (bucket, key) if bucket and key else None
