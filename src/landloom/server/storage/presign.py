"""Presigned URLs: a request to S3 whose signature is in its query, so that anybody may send it.

Signature Version 4 with query parameters, as "Authenticating Requests: Using Query Parameters (AWS
Signature Version 4)" of the Amazon S3 API Reference describes it. Done here because botocore takes
a millisecond for one URL, and this takes some thirty microseconds.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import quote, urlencode, urlsplit

from landloom.server.kit.clock import now
from landloom.server.storage.places import StoreAccess

LONGEST_SECONDS: Final = 7 * 24 * 3600
"""The longest life that S3 grants such a URL."""

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_UNRESERVED: Final = "-_.~"
_PLAIN_PORTS: Final = {"http": 80, "https": 443}

type Method = Literal["GET", "PUT", "HEAD", "DELETE"]


def presigned_url(
    access: StoreAccess,
    method: Method,
    bucket: str,
    key: str,
    *,
    seconds: int,
    query: dict[str, str] | None = None,
    at: datetime | None = None,
) -> str:
    """Return a URL by which anybody may do `method` on one object for some time.

    Args:
        access: The store and the keys to sign with; without keys the URL is not signed.
        method: What may be done.
        bucket: Where the object lies.
        key: Its key.
        seconds: How long the URL works, 7 days at most.
        query: Further parameters of the request; they are signed too.
        at: From when on it works; now by default.
    """
    host, url, path = _place(access, bucket, key)
    keys = access.credentials
    if keys is None:
        return f"{url}{path}" + (f"?{_encoded(query)}" if query else "")
    instant = (at or now()).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{instant[:8]}/{access.region}/s3/aws4_request"
    parameters = {
        **(query or {}),
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{keys.access_key}/{scope}",
        "X-Amz-Date": instant,
        "X-Amz-Expires": str(min(seconds, LONGEST_SECONDS)),
        "X-Amz-SignedHeaders": "host",
    }
    if keys.session_token is not None:
        parameters["X-Amz-Security-Token"] = keys.session_token
    told = _encoded(parameters)
    canonical = "\n".join([method, path, told, f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key_of_day = _signing_key(keys.secret_key, instant[:8], access.region)
    signature = _signed(key_of_day, f"{_ALGORITHM}\n{instant}\n{scope}\n{digest}").hex()
    return f"{url}{path}?{told}&X-Amz-Signature={signature}"


def _place(access: StoreAccess, bucket: str, key: str) -> tuple[str, str, str]:
    """Return the Host header, the URL in front of the path, and the path, which is encoded."""
    endpoint = urlsplit(access.public_url or access.endpoint_url)
    host = endpoint.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    path = f"{endpoint.path.rstrip('/')}/{quote(key, safe=_UNRESERVED + '/')}"
    if access.addressing == "virtual":
        host = f"{bucket}.{host}"
    else:
        path = f"{endpoint.path.rstrip('/')}/{bucket}/{quote(key, safe=_UNRESERVED + '/')}"
    if endpoint.port not in {None, _PLAIN_PORTS.get(endpoint.scheme)}:
        host = f"{host}:{endpoint.port}"
    return host, f"{endpoint.scheme}://{host}", path


def _encoded(parameters: dict[str, str]) -> str:
    return urlencode(sorted(parameters.items()), quote_via=quote, safe=_UNRESERVED)


@lru_cache(maxsize=256)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = _signed(key, part)
    return key


def _signed(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
