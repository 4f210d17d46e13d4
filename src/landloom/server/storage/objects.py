"""The one door to S3: every store of every source, by its own keys.

boto3 in threads, of which the door has its own: a store that does not answer holds up nobody else's
work. Signing URLs needs no request, and is done elsewhere.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from landloom.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    InvalidInput,
    LandloomError,
    NotFound,
    Unavailable,
)
from landloom.server.storage.clients import s3_client
from landloom.server.storage.layout import SCHEME
from landloom.server.storage.places import StoreAccess

PAGE: Final = 1000
"""Keys that S3 lists, or deletes, by one request at most."""

_CLIENTS: Final = 64
"""Clients that are kept; those used longest ago go first."""
_THREADS: Final = 16
_CHUNK_BYTES: Final = 1 << 20
_ABSENT: Final = frozenset({"NoSuchKey", "NoSuchBucket", "404", "NotFound"})
_REFUSED: Final = frozenset(
    {"AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
)
_TAKEN: Final = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
_BROKEN: Final = frozenset({"KeyTooLongError", "InvalidArgument", "InvalidURI", "400"})


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as a listing shows it."""

    key: str
    size: int
    """In bytes."""
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    """What one request lists."""

    objects: tuple[StoredObject, ...]
    folders: tuple[str, ...]
    """Prefixes, each ending with `/`."""
    next: str | None
    """What continues the listing; None at its end."""


@dataclass(frozen=True, slots=True)
class Content:
    """An object that is being read."""

    size: int
    media_type: str
    chunks: AsyncIterator[bytes]


class ObjectReader(Protocol):
    """Fetches objects."""

    async def download(self, access: StoreAccess, bucket: str, key: str, destination: Path) -> None:
        """Write the object to the file `destination`.

        Raises:
            NotFound: There is no such object.
            Forbidden: The keys give no right to it.
            Unavailable: The store does not answer.
        """


class S3Objects:
    """Objects of S3 stores. Every call raises as `ObjectReader.download` does."""

    def __init__(self) -> None:
        self._clients: OrderedDict[StoreAccess, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")

    async def download(self, access: StoreAccess, bucket: str, key: str, destination: Path) -> None:
        """Write the object to the file `destination`; see `ObjectReader`."""
        uri = f"{SCHEME}{bucket}/{key}"

        def work(client: Any) -> None:
            body = client.get_object(Bucket=bucket, Key=key)["Body"]
            with destination.open("wb") as file:
                for chunk in body.iter_chunks(_CHUNK_BYTES):
                    file.write(chunk)

        await self._do(access, work, uri)

    async def list(
        self,
        access: StoreAccess,
        bucket: str,
        prefix: str,
        *,
        deep: bool = False,
        after: str | None = None,
        limit: int = PAGE,
    ) -> Listing:
        """List up to `limit` objects and folders under `prefix`, or, `deep`, objects alone."""
        asked: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": limit}
        asked |= {} if deep else {"Delimiter": "/"}
        asked |= {"ContinuationToken": after} if after else {}
        answer = await self._do(
            access, lambda client: client.list_objects_v2(**asked), f"{SCHEME}{bucket}/{prefix}"
        )
        return Listing(
            objects=tuple(
                StoredObject(each["Key"], each["Size"], each["LastModified"])
                for each in answer.get("Contents", ())
            ),
            folders=tuple(each["Prefix"] for each in answer.get("CommonPrefixes", ())),
            next=answer.get("NextContinuationToken") if answer.get("IsTruncated") else None,
        )

    async def look(self, access: StoreAccess, bucket: str, key: str) -> StoredObject:
        """Return what is known of an object."""
        answer = await self._do(
            access,
            lambda client: client.head_object(Bucket=bucket, Key=key),
            f"{SCHEME}{bucket}/{key}",
        )
        return StoredObject(key, answer["ContentLength"], answer["LastModified"])

    async def exists(self, access: StoreAccess, bucket: str, key: str) -> bool:
        """Say whether there is such an object."""
        with suppress(NotFound):
            await self.look(access, bucket, key)
            return True
        return False

    async def make(self, access: StoreAccess, bucket: str, key: str) -> None:
        """Make an empty object, as a folder is.

        Raises:
            Conflict: There is one.
        """
        await self._do(
            access,
            lambda client: client.put_object(Bucket=bucket, Key=key, Body=b"", IfNoneMatch="*"),
            f"{SCHEME}{bucket}/{key}",
        )

    async def copy(self, access: StoreAccess, bucket: str, source: str, target: str) -> None:
        """Copy an object within its bucket, by parts where it is large."""
        await self._do(
            access,
            lambda client: client.copy({"Bucket": bucket, "Key": source}, bucket, target),
            f"{SCHEME}{bucket}/{source}",
        )

    async def delete(self, access: StoreAccess, bucket: str, keys: Sequence[str]) -> None:
        """Delete these objects, any number; those that are not there do not matter."""
        for first in range(0, len(keys), PAGE):
            await self._delete(access, bucket, keys[first : first + PAGE])

    async def read(self, access: StoreAccess, bucket: str, key: str) -> Content:
        """Return an object as it comes."""
        uri = f"{SCHEME}{bucket}/{key}"
        answer = await self._do(
            access, lambda client: client.get_object(Bucket=bucket, Key=key), uri
        )
        return Content(
            size=answer["ContentLength"],
            media_type=answer.get("ContentType") or "application/octet-stream",
            chunks=self._chunks(answer["Body"]),
        )

    async def _chunks(self, body: Any) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        try:
            while chunk := await loop.run_in_executor(self._threads, body.read, _CHUNK_BYTES):
                yield chunk
        finally:
            body.close()

    async def _delete(self, access: StoreAccess, bucket: str, keys: Sequence[str]) -> None:
        asked = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        uri = f"{SCHEME}{bucket}/{keys[0]}"
        answer = await self._do(
            access, lambda client: client.delete_objects(Bucket=bucket, Delete=asked), uri
        )
        for problem in answer.get("Errors", ()):
            if problem.get("Code") not in _ABSENT:
                raise _as_ours(str(problem.get("Code")), f"{SCHEME}{bucket}/{problem.get('Key')}")

    async def _do[T](self, access: StoreAccess, work: Callable[[Any], T], uri: str) -> T:
        def attempt() -> T:
            try:
                return work(self._client(access))
            except ClientError as problem:
                code = str(problem.response.get("Error", {}).get("Code", ""))
                raise _as_ours(code, uri) from problem
            except BotoCoreError as problem:
                raise Unavailable(
                    f"The object store did not answer for {uri}: {problem}.",
                    suggestion="Try again once the store is up.",
                ) from problem

        return await asyncio.get_running_loop().run_in_executor(self._threads, attempt)

    def _client(self, access: StoreAccess) -> Any:
        """Return the client of this access: making one costs 0.15 s, and threads may share it."""
        with self._lock:
            client = self._clients.pop(access, None) or s3_client(access)
            self._clients[access] = client
            while len(self._clients) > _CLIENTS:
                self._clients.popitem(last=False)
        return client


def _as_ours(code: str, uri: str) -> LandloomError:
    if code in _ABSENT:
        return NotFound(f"There is no object {uri}.", suggestion="Upload it first.")
    if code in _REFUSED:
        return Forbidden(
            f"The store gives no right to {uri}.",
            suggestion="Use what lies under USER_S3_PATH or USER_S3_SHARED_PATH.",
        )
    if code in _TAKEN:
        return Conflict(f"{uri} is there already.")
    if code in _BROKEN:
        return InvalidInput(f"The object store takes no object {uri}: {code}.")
    if code == "NotImplemented":
        return BadRequest(f"The object store cannot do this with {uri}.")
    return Unavailable(f"The object store refused {uri}: {code}.")
