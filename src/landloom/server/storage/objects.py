"""Fetching one object with a user's own keys."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from landloom.errors import Forbidden, NotFound, Unavailable
from landloom.server.storage.admin import Credentials

_CONNECT_SECONDS: Final = 5.0
_READ_SECONDS: Final = 30.0
_ATTEMPTS: Final = 4
_CLIENTS: Final = 64
"""Clients that are kept; those used longest ago go first."""
_CHUNK_BYTES: Final = 1 << 20


class ObjectReader(Protocol):
    """Fetches objects."""

    async def download(
        self, credentials: Credentials, bucket: str, key: str, destination: Path
    ) -> None:
        """Write the object to the file `destination`.

        Raises:
            NotFound: There is no such object.
            Forbidden: The keys give no right to it.
            Unavailable: The store does not answer.
        """


class S3Objects:
    """Fetches objects of an S3 store."""

    def __init__(self, *, endpoint_url: str, region: str) -> None:
        self._endpoint_url = endpoint_url
        self._region = region
        self._clients: OrderedDict[Credentials, Any] = OrderedDict()
        self._lock = threading.Lock()

    async def download(
        self, credentials: Credentials, bucket: str, key: str, destination: Path
    ) -> None:
        """Write the object to the file `destination`; see `ObjectReader`."""
        await asyncio.to_thread(self._download, credentials, bucket, key, destination)

    def _download(self, credentials: Credentials, bucket: str, key: str, destination: Path) -> None:
        uri = f"s3://{bucket}/{key}"
        try:
            body = self._client(credentials).get_object(Bucket=bucket, Key=key)["Body"]
            with destination.open("wb") as file:
                for chunk in body.iter_chunks(_CHUNK_BYTES):
                    file.write(chunk)
        except ClientError as problem:
            raise _as_ours(problem, uri) from problem
        except BotoCoreError as problem:
            raise Unavailable(
                f"The object store did not answer for {uri}: {problem}.",
                suggestion="Submit the run again once the store is up.",
            ) from problem

    def _client(self, credentials: Credentials) -> Any:
        """Return the client of these keys: making one costs 0.15 s, and threads may share it."""
        with self._lock:
            client = self._clients.pop(credentials, None) or self._make_client(credentials)
            self._clients[credentials] = client
            while len(self._clients) > _CLIENTS:
                self._clients.popitem(last=False)
        return client

    def _make_client(self, credentials: Credentials) -> Any:
        # A session of its own: boto3's default session is not safe among threads, and would read
        # the profile of whoever started the server.
        session = boto3.session.Session(
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            region_name=self._region,
        )
        return session.client(
            "s3",
            endpoint_url=self._endpoint_url,
            config=Config(
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                retries={"max_attempts": _ATTEMPTS, "mode": "standard"},
                s3={"addressing_style": "path"},
            ),
        )


def _as_ours(problem: ClientError, uri: str) -> NotFound | Forbidden | Unavailable:
    code = str(problem.response.get("Error", {}).get("Code", ""))
    if code in {"NoSuchKey", "NoSuchBucket", "404", "NotFound"}:
        return NotFound(f"There is no object {uri}.", suggestion="Upload it, then submit again.")
    if code in {"AccessDenied", "403", "Forbidden"}:
        return Forbidden(
            f"The run's owner has no right to read {uri}.",
            suggestion="Upload it under USER_S3_PATH or USER_S3_SHARED_PATH.",
        )
    return Unavailable(f"The object store refused {uri}: {code}.")
