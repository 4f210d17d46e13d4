"""What keys may do at a place, found out by doing it: one object of ours, put and taken away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

import httpx
from botocore.exceptions import ClientError
from botocore.exceptions import ConnectionError as Unreached

from landloom.server.storage.clients import S3_ERRORS, code_of, s3_client
from landloom.server.storage.places import StoreAccess

PROBE: Final = ".landloom-access-test"
"""Always of one name: if it may be put and not deleted, one is left at most."""

FREE: Final = "free"
REQUESTER_PAYS: Final = "requester_pays"
PRIVATE: Final = "private"

type Openness = Literal["free", "requester_pays", "private"]

_NOTHING_THERE: Final = frozenset({"NoSuchKey", "404", "NotFound"})
"""Codes of who was let in and found nothing; others are told no more than that they may not."""
_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Permissions:
    """What was possible."""

    granted: frozenset[str]
    """Of `list`, `get`, `put` and `delete`."""
    problems: tuple[str, ...]
    """Why the others were not: the attempt, and what the store calls it."""


async def permissions(
    access: StoreAccess, bucket: str, prefix: str, *, read_only: bool
) -> Permissions:
    """Try to list, put, get and delete below a prefix.

    Where `read_only`, nothing is put or deleted, and neither is said to be possible. No failure is
    raised: a store that does not answer lets nothing be done.
    """
    attempts = _Attempts(access, bucket, prefix)
    return await asyncio.to_thread(attempts.read if read_only else attempts.read_and_write)


class _Attempts:
    """One go at a place; blocks."""

    def __init__(self, access: StoreAccess, bucket: str, prefix: str) -> None:
        self._client = s3_client(access, attempts=2, read_seconds=_SECONDS)
        self._place: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        self._probe: dict[str, Any] = {"Bucket": bucket, "Key": f"{prefix}{PROBE}"}
        self._granted: set[str] = set()
        self._problems: list[str] = []
        self._away = ""
        """Why the store cannot be reached; empty while it can."""

    def read_and_write(self) -> Permissions:
        self._try("put", lambda: self._client.put_object(**self._probe, Body=b""))
        self._read()
        self._try("delete", lambda: self._client.delete_object(**self._probe))
        return self._found()

    def read(self) -> Permissions:
        self._read()
        self._problems.append("put, delete: it is registered as read-only")
        return self._found()

    def _read(self) -> None:
        self._try("list", lambda: self._client.list_objects_v2(**self._place, MaxKeys=1))
        self._try("get", self._get)

    def _get(self) -> None:
        """Get our own object; where there is none, and that is a secret, the first there is."""
        try:
            self._client.get_object(**self._probe)["Body"].close()
        except ClientError as problem:
            if _was_let_in(problem) or "list" not in self._granted:
                raise
            found = self._client.list_objects_v2(**self._place, MaxKeys=10).get("Contents", [])
            keys = [each["Key"] for each in found if not each["Key"].endswith("/")]
            if not keys:
                raise
            bucket = self._place["Bucket"]
            self._client.get_object(Bucket=bucket, Key=keys[0])["Body"].close()

    def _try(self, name: str, attempt: Callable[[], Any]) -> None:
        if self._away:
            # Whoever asks would wait as long once more for each.
            self._problems.append(f"{name}: {self._away}")
            return
        try:
            attempt()
        except ClientError as problem:
            if not _was_let_in(problem):
                self._problems.append(f"{name}: {code_of(problem)}")
                return
        except S3_ERRORS as problem:
            reason = f"the store does not answer ({type(problem).__name__})"
            self._problems.append(f"{name}: {reason}")
            if isinstance(problem, Unreached):
                self._away = reason
            return
        self._granted.add(name)

    def _found(self) -> Permissions:
        return Permissions(frozenset(self._granted), tuple(self._problems))


def _was_let_in(problem: ClientError) -> bool:
    return code_of(problem) in _NOTHING_THERE


async def openness(access: StoreAccess, bucket: str, key: str) -> Openness:
    """Return whether anybody may read a place: `free`, `requester_pays` or `private`.

    Args:
        access: Keys, if any, are used only to find out whether readers pay.
        bucket: The bucket.
        key: An object, a folder, or nothing for the whole bucket.

    Raises:
        httpx.HTTPError: The store does not answer.
    """
    async with httpx.AsyncClient(timeout=_SECONDS, follow_redirects=False) as client:
        root = _bucket_url(access, bucket)
        listing = {"list-type": "2", "max-keys": "1", "prefix": key}
        # Only how it begins: who answers is not known, nor for how long.
        async with client.stream("GET", root, params=listing) as answer:
            is_open = answer.is_success
        if key and not key.endswith("/") and not is_open:
            is_open = (await client.head(f"{root}/{quote(key)}")).is_success
    if is_open:
        return FREE
    if access.credentials is not None and await asyncio.to_thread(_pays, access, bucket, key):
        return REQUESTER_PAYS
    return PRIVATE


def _pays(access: StoreAccess, bucket: str, key: str) -> bool:
    """Say whether requests are let in that agree to pay, and only those."""
    client = s3_client(access, attempts=1, read_seconds=_SECONDS)

    def listed(**payer: str) -> bool:
        try:
            client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1, **payer)
        except S3_ERRORS:
            return False
        return True

    return not listed() and listed(RequestPayer="requester")


def _bucket_url(access: StoreAccess, bucket: str) -> str:
    if access.addressing == "path":
        return f"{access.endpoint_url.rstrip('/')}/{bucket}"
    scheme, _, host = access.endpoint_url.rstrip("/").partition("://")
    return f"{scheme}://{bucket}.{host}"
