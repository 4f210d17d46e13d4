"""The one door to S3: every store of every source, by its own keys.

In threads of the door's own: a store that does not answer holds up nobody else's work. By boto3,
but for listing, which is done often and to which botocore adds most. Signing URLs needs no request.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from botocore.exceptions import ClientError

from landloom.errors import NotFound, Unavailable
from landloom.server.storage.answers import Listing, StoredObject
from landloom.server.storage.clients import S3_ERRORS, code_of, s3_client
from landloom.server.storage.layout import SCHEME
from landloom.server.storage.lister import Lister
from landloom.server.storage.places import StoreAccess
from landloom.server.storage.refusals import ABSENT, as_ours

PAGE: Final = 1000
"""Keys that S3 lists, or deletes, by one request at most."""

_CLIENTS: Final = 64
"""Clients that are kept; those used longest ago go first."""
_THREADS: Final = 16
_CHUNK_BYTES: Final = 1 << 20


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
        self._lister = Lister()
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
        asked = {"list-type": "2", "prefix": prefix, "max-keys": str(limit), "encoding-type": "url"}
        asked |= {} if deep else {"delimiter": "/"}
        asked |= {"continuation-token": after} if after else {}
        here = replace(access, public_url=None)
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._lister.list, here, bucket, asked
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

    async def abort_uploads(self, access: StoreAccess, bucket: str, prefix: str) -> None:
        """End the uploads in parts below a prefix that nobody has completed: parts take room."""

        def work(client: Any) -> None:
            pages = client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=bucket, Prefix=prefix):
                for each in page.get("Uploads", ()):
                    client.abort_multipart_upload(
                        Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"]
                    )

        await self._do(access, work, f"{SCHEME}{bucket}/{prefix}")

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
            if problem.get("Code") not in ABSENT:
                raise as_ours(str(problem.get("Code")), f"{SCHEME}{bucket}/{problem.get('Key')}")

    async def _do[T](self, access: StoreAccess, work: Callable[[Any], T], uri: str) -> T:
        def attempt() -> T:
            try:
                return work(self._client(access))
            except ClientError as problem:
                raise as_ours(code_of(problem), uri) from problem
            except S3_ERRORS as problem:
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
