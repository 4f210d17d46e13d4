"""Which store an S3 bucket is, and whose keys read it.

A job's environment points every S3 client at the platform's own store, so the ambient endpoint
cannot speak for all buckets: registered ones go where they are registered (`registered`), the
platform's own to `AWS_ENDPOINT_URL` with the ambient keys, and any other one is public data, read
unsigned at AWS in the bucket's own region, or, where its readers pay, with the AWS keys of
`LANDLOOM_AWS_ACCESS_KEY_ID` and its kin. Without `AWS_ENDPOINT_URL` the ordinary AWS chain applies
to all that is not registered.
"""

from __future__ import annotations

import os
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import httpx
from obstore.store import S3Store

from landloom.errors import StoreProblem
from landloom.raster.store.registered import (
    Registered,
    addressed,
    at_endpoint,
    find_registered,
)

MANAGED_PATHS = ("USER_S3_PATH", "USER_S3_SHARED_PATH", "USER_WAREHOUSE_PATH")
"""Variables whose value is an s3:// URI in a bucket of the platform."""

MANAGED_BUCKETS = "LANDLOOM_MANAGED_BUCKETS"
"""Variable with further buckets of the platform, separated by commas."""

VIRTUAL_HOSTING = "AWS_VIRTUAL_HOSTING"
"""GDAL's variable, which says of the platform's own store whether the host names the bucket.

Not AWS_VIRTUAL_HOSTED_STYLE_REQUEST: with that one obstore wants the bucket in the endpoint too.
"""

PAYER_KEYS = "LANDLOOM_AWS_"
"""Prefix of ACCESS_KEY_ID, SECRET_ACCESS_KEY and SESSION_TOKEN for buckets whose readers pay."""

REQUEST_TIMEOUT_SECONDS = 60
CONNECT_TIMEOUT_SECONDS = 10
MAX_RETRIES = 4
RETRY_SECONDS = 90


def managed_buckets() -> frozenset[str]:
    """Return the buckets that the environment says are the platform's own."""
    named = [part.strip() for part in os.environ.get(MANAGED_BUCKETS, "").split(",")]
    paths = [os.environ.get(name, "") for name in MANAGED_PATHS]
    named += [urlsplit(path).netloc for path in paths if path.startswith("s3://")]
    return frozenset(filter(None, named))


def bucket_store(bucket: str, payer: bool, key: str = "") -> Any:  # noqa: FBT001 - an address
    """Return the obstore store of a bucket, by the environment of the moment.

    Args:
        bucket: Its name.
        payer: Whether the reader agrees to pay for requests.
        key: Object or folder in it: parts of a bucket may be registered with different keys.

    Raises:
        StoreProblem: The region of a public bucket cannot be found out, or there are no keys for
            one whose readers pay.
    """
    registered = find_registered(bucket, key)
    if registered is not None:
        return _registered_store(registered, payer)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    if not endpoint:
        return _ambient_store(bucket, payer, _fingerprint())
    if bucket in managed_buckets():
        return _managed_store(bucket, endpoint, payer, _fingerprint())
    return _paid_store(bucket, _payer_keys(bucket)) if payer else _public_store(bucket)


def _fingerprint() -> tuple[tuple[str, str], ...]:
    """Return the AWS settings of now, so that a cached store never outlives its credentials."""
    return tuple(sorted((key, value) for key, value in os.environ.items() if key[:4] == "AWS_"))


def _payer_keys(bucket: str) -> tuple[tuple[str, str], ...]:
    """Return the keys for a bucket whose readers pay.

    Raises:
        StoreProblem: There are none; the ambient keys are the platform's and mean nothing to AWS.
    """
    names = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")
    keys = {name.lower(): os.environ.get(f"{PAYER_KEYS}{name}", "") for name in names}
    if not (keys["access_key_id"] and keys["secret_access_key"]):
        raise StoreProblem(
            f"Readers of the bucket {bucket!r} pay, and there are no AWS keys to pay with.",
            suggestion=f"Set {PAYER_KEYS}ACCESS_KEY_ID and {PAYER_KEYS}SECRET_ACCESS_KEY.",
        )
    return tuple((name, value) for name, value in keys.items() if value)


@lru_cache(maxsize=64)
def _registered_store(registered: Registered, payer: bool) -> Any:  # noqa: FBT001 - of the key
    options: Any = registered.store_options()
    return S3Store(
        registered.bucket,
        request_payer=payer,
        client_options=client_options(allow_http=registered.endpoint_url.startswith("http://")),
        retry_config=retry_config(),
        credential_provider=registered.credentials if registered.access_key else None,
        config=options,
    )


@lru_cache(maxsize=64)
def _managed_store(
    bucket: str,
    endpoint: str,
    payer: bool,  # noqa: FBT001 - part of the cache key
    settings: tuple[tuple[str, str], ...],
) -> Any:
    ambient = dict(settings)
    virtual = ambient.get(VIRTUAL_HOSTING, "").upper() in {"TRUE", "YES", "ON", "1"}
    config: Any = addressed(endpoint.rstrip("/"), bucket, virtual=virtual)
    return S3Store(
        bucket,
        region=ambient.get("AWS_REGION") or ambient.get("AWS_DEFAULT_REGION") or "us-east-1",
        request_payer=payer,
        client_options=client_options(allow_http=endpoint.startswith("http://")),
        retry_config=retry_config(),
        config=config,
    )


@lru_cache(maxsize=64)
def _ambient_store(
    bucket: str,
    payer: bool,  # noqa: FBT001 - part of the cache key
    settings: tuple[tuple[str, str], ...],
) -> Any:
    del settings  # part of the cache key only: obstore reads the environment itself
    return S3Store(
        bucket,
        request_payer=payer,
        client_options=client_options(),
        retry_config=retry_config(),
    )


@lru_cache(maxsize=64)
def _paid_store(bucket: str, keys: tuple[tuple[str, str], ...]) -> Any:
    region = _bucket_region(bucket)
    config: Any = dict(keys) | at_endpoint(f"https://s3.{region}.amazonaws.com")
    return S3Store(
        bucket,
        region=region,
        request_payer=True,
        virtual_hosted_style_request=False,
        client_options=client_options(),
        retry_config=retry_config(),
        config=config,
    )


@lru_cache(maxsize=64)
def _public_store(bucket: str) -> Any:
    region = _bucket_region(bucket)
    config: Any = at_endpoint(f"https://s3.{region}.amazonaws.com")
    return S3Store(
        bucket,
        region=region,
        skip_signature=True,
        virtual_hosted_style_request=False,
        client_options=client_options(),
        retry_config=retry_config(),
        config=config,
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


def client_options(*, allow_http: bool = False) -> Any:
    """Return the timeouts of an HTTP client."""
    return {
        "allow_http": allow_http,
        "timeout": timedelta(seconds=REQUEST_TIMEOUT_SECONDS),
        "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_SECONDS),
    }


def retry_config() -> Any:
    """Return how often and how long a request that failed is made again."""
    return {
        "max_retries": MAX_RETRIES,
        "retry_timeout": timedelta(seconds=RETRY_SECONDS),
        "backoff": {
            "init_backoff": timedelta(milliseconds=200),
            "max_backoff": timedelta(seconds=8),
            "base": 2,
        },
    }
