"""Where a URI's bytes live: `s3://`, `http(s)://`, `file://` and plain paths as obstore stores.

A job's environment points every S3 client at the platform's own store, so the ambient endpoint
cannot speak for all buckets. `resolve` decides bucket by bucket: the platform's buckets go to
`AWS_ENDPOINT_URL` with the ambient keys, any other one is public data, read unsigned at AWS in the
bucket's own region. Without `AWS_ENDPOINT_URL` the ordinary AWS chain applies to all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import obstore
from obstore.exceptions import BaseError
from obstore.store import HTTPStore, LocalStore, S3Store

from landloom.errors import InvalidInput, StoreProblem

MANAGED_PATHS = ("USER_S3_PATH", "USER_S3_SHARED_PATH", "USER_WAREHOUSE_PATH")
"""Variables whose value is an s3:// URI in a bucket of the platform."""

MANAGED_BUCKETS = "LANDLOOM_MANAGED_BUCKETS"
"""Variable with further buckets of the platform, separated by commas."""

REQUEST_TIMEOUT_SECONDS = 60
CONNECT_TIMEOUT_SECONDS = 10
MAX_RETRIES = 4
RETRY_SECONDS = 90


@dataclass(frozen=True)
class ObjectLocation:
    """An object: the store that holds it and its path there."""

    store: Any
    """An obstore store."""
    path: str
    uri: str
    """What was asked for; it names the object in messages."""

    def joined(self, *parts: str) -> ObjectLocation:
        """Return the location of an object below this one."""
        tail = "/".join(part.strip("/") for part in parts)
        return ObjectLocation(
            self.store, f"{self.path.rstrip('/')}/{tail}", f"{self.uri.rstrip('/')}/{tail}"
        )


def resolve(uri: str) -> ObjectLocation:
    """Return where `uri` lives.

    Raises:
        InvalidInput: The scheme is none of s3, http, https, file.
        StoreProblem: The region of a public bucket cannot be found out.
    """
    parts = urlsplit(uri)
    scheme = parts.scheme if "://" in uri else "file"
    if scheme == "s3":
        return ObjectLocation(_s3_store(parts.netloc), parts.path.lstrip("/"), uri)
    if scheme in {"http", "https"}:
        # A query (the signature of a presigned URL) rides on the root: the store keeps it.
        root = f"{scheme}://{parts.netloc}" + (f"?{parts.query}" if parts.query else "")
        return ObjectLocation(_http_store(root), unquote(parts.path.lstrip("/")), uri)
    if scheme == "file":
        path = unquote(parts.path) if uri.startswith("file:") else str(Path(uri).absolute())
        return ObjectLocation(_local_store(), path.lstrip("/"), uri)
    raise InvalidInput(
        f"Cannot open {uri!r}: {scheme}:// is not a store.",
        suggestion="Use s3://, https://, http://, file:// or a path.",
    )


def local_path(uri: str) -> Path | None:
    """Return the path of a URI on this machine's disk, or None for any other."""
    if uri.startswith("file://"):
        return Path(unquote(urlsplit(uri).path))
    return None if "://" in uri else Path(uri).absolute()


def read_bytes(uri: str) -> bytes:
    """Return a whole object.

    Raises:
        StoreProblem: It is not there, or cannot be read after all retries.
    """
    location = resolve(uri)
    try:
        return bytes(obstore.get(location.store, location.path).bytes())
    except (BaseError, OSError) as error:
        raise _problem("read", uri, error) from error


def write_bytes(uri: str, data: bytes | Iterable[bytes]) -> None:
    """Write a whole object; it appears at once or, if `data` raises, not at all.

    Raises:
        StoreProblem: It cannot be written after all retries.
    """
    location = resolve(uri)
    try:
        obstore.put(location.store, location.path, data)
    except (BaseError, OSError) as error:
        raise _problem("write", uri, error) from error


def exists(uri: str) -> bool:
    """Return whether there is an object at `uri`.

    Raises:
        StoreProblem: The store does not answer, or refuses.
    """
    location = resolve(uri)
    try:
        obstore.head(location.store, location.path)
    except FileNotFoundError:
        return False
    except (BaseError, OSError) as error:
        raise _problem("look for", uri, error) from error
    return True


def list_objects(uri: str) -> Iterator[str]:
    """Yield the URI of every object below `uri`, at any depth, in no order.

    Raises:
        StoreProblem: The store does not answer, or refuses.
    """
    location = resolve(uri.rstrip("/") + "/")
    prefix = location.path.rstrip("/")
    try:
        for page in obstore.list(location.store, prefix):
            for entry in page:
                yield f"{uri.rstrip('/')}{entry['path'].removeprefix(prefix)}"
    except (BaseError, OSError) as error:
        raise _problem("list", uri, error) from error


def managed_buckets() -> frozenset[str]:
    """Return the buckets that the environment says are the platform's own."""
    named = [part.strip() for part in os.environ.get(MANAGED_BUCKETS, "").split(",")]
    paths = [os.environ.get(name, "") for name in MANAGED_PATHS]
    named += [urlsplit(path).netloc for path in paths if path.startswith("s3://")]
    return frozenset(filter(None, named))


def _s3_store(bucket: str) -> Any:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    if not endpoint:
        return _ambient_store(bucket, _fingerprint())
    if bucket in managed_buckets():
        return _managed_store(bucket, endpoint, _fingerprint())
    return _public_store(bucket)


def _fingerprint() -> tuple[tuple[str, str], ...]:
    """Return the AWS settings of now, so that a cached store never outlives its credentials."""
    return tuple(sorted((key, value) for key, value in os.environ.items() if key[:4] == "AWS_"))


@lru_cache(maxsize=64)
def _managed_store(bucket: str, endpoint: str, settings: tuple[tuple[str, str], ...]) -> Any:
    ambient = dict(settings)
    return S3Store(
        bucket,
        endpoint=endpoint,
        region=ambient.get("AWS_REGION") or ambient.get("AWS_DEFAULT_REGION") or "us-east-1",
        virtual_hosted_style_request=False,
        client_options=_client_options(allow_http=endpoint.startswith("http://")),
        retry_config=_retry_config(),
    )


@lru_cache(maxsize=64)
def _ambient_store(bucket: str, settings: tuple[tuple[str, str], ...]) -> Any:
    del settings  # part of the cache key only: obstore reads the environment itself
    return S3Store(bucket, client_options=_client_options(), retry_config=_retry_config())


@lru_cache(maxsize=64)
def _public_store(bucket: str) -> Any:
    region = _bucket_region(bucket)
    return S3Store(
        bucket,
        endpoint=f"https://s3.{region}.amazonaws.com",
        region=region,
        skip_signature=True,
        virtual_hosted_style_request=False,
        client_options=_client_options(),
        retry_config=_retry_config(),
    )


@lru_cache(maxsize=64)
def _bucket_region(bucket: str) -> str:
    """Ask AWS where a bucket is: the answer carries its region even when it is a refusal."""
    try:
        answer = httpx.head(f"https://s3.amazonaws.com/{bucket}", timeout=CONNECT_TIMEOUT_SECONDS)
    except httpx.HTTPError as error:
        raise StoreProblem(
            f"Cannot find out the region of the public bucket {bucket!r}: {error}.",
            suggestion=f"If it is a bucket of this platform, name it in {MANAGED_BUCKETS}.",
        ) from error
    region = answer.headers.get("x-amz-bucket-region")
    if not region:
        raise StoreProblem(
            f"There is no bucket {bucket!r} on AWS (HTTP {answer.status_code}).",
            suggestion=f"If it is a bucket of this platform, name it in {MANAGED_BUCKETS}.",
        )
    return str(region)


@lru_cache(maxsize=64)
def _http_store(root: str) -> Any:
    options = _client_options(allow_http=root.startswith("http://"))
    return HTTPStore(root, client_options=options, retry_config=_retry_config())


@lru_cache(maxsize=1)
def _local_store() -> Any:
    return LocalStore(prefix="/", mkdir=True)


def _client_options(*, allow_http: bool = False) -> Any:
    return {
        "allow_http": allow_http,
        "timeout": timedelta(seconds=REQUEST_TIMEOUT_SECONDS),
        "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_SECONDS),
    }


def _retry_config() -> Any:
    return {
        "max_retries": MAX_RETRIES,
        "retry_timeout": timedelta(seconds=RETRY_SECONDS),
        "backoff": {
            "init_backoff": timedelta(milliseconds=200),
            "max_backoff": timedelta(seconds=8),
            "base": 2,
        },
    }


def _problem(verb: str, uri: str, error: Exception) -> StoreProblem:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return StoreProblem(
        f"Cannot {verb} {uri}: {reason}",
        suggestion="Check that it exists and that this workload may use it.",
    )
