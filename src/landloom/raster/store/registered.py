"""Stores that the platform's people have registered: which buckets they are, and with whose keys.

`LANDLOOM_BUCKETS` holds a JSON list of `{"bucket", "prefix", "endpoint_url", "region",
"addressing", "access_key_id", "secret_access_key", "session_token"}`. Several entries may share a
bucket: the longest prefix that an object lies under decides. Entries without keys are public.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, Self

from landloom.errors import StoreProblem

REGISTERED = "LANDLOOM_BUCKETS"
"""The variable."""


@dataclass(frozen=True, slots=True)
class Registered:
    """One place in one store."""

    bucket: str
    prefix: str
    """Empty, or ending with `/`."""
    endpoint_url: str
    """Without the bucket."""
    region: str
    addressing: Literal["path", "virtual"] = "path"
    access_key: str = ""
    """Empty for a public place, which is read unsigned."""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """Return an entry of the list."""
        return cls(
            bucket=entry["bucket"],
            prefix=entry.get("prefix") or "",
            endpoint_url=entry["endpoint_url"].rstrip("/"),
            region=entry.get("region") or "us-east-1",
            addressing=entry.get("addressing") or "path",
            access_key=entry.get("access_key_id") or "",
            secret_key=entry.get("secret_access_key") or "",
            session_token=entry.get("session_token") or "",
        )

    def store_options(self) -> dict[str, Any]:
        """Return what an obstore S3Store of the bucket is made with."""
        return {
            **addressed(self.endpoint_url, self.bucket, virtual=self.addressing == "virtual"),
            "region": self.region,
            "skip_signature": not self.access_key,
        }

    def credentials(self) -> Any:
        """Return the keys as obstore asks for them.

        Given as options, they would be mixed with an ambient session's token.
        """
        return {
            "access_key_id": self.access_key,
            "secret_access_key": self.secret_key,
            "token": self.session_token or None,
            "expires_at": None,
        }


def addressed(endpoint_url: str, bucket: str, *, virtual: bool) -> dict[str, Any]:
    """Return the options by which an obstore S3Store finds a bucket at an endpoint.

    Args:
        endpoint_url: Without the bucket.
        bucket: Its name.
        virtual: Whether the host names it; otherwise the path does.
    """
    scheme, _, host = endpoint_url.partition("://")
    # Where the host names the bucket, obstore takes the endpoint as it is.
    url = f"{scheme}://{bucket}.{host}" if virtual else endpoint_url
    return {**at_endpoint(url), "virtual_hosted_style_request": virtual}


def at_endpoint(url: str) -> dict[str, str]:
    """Return the options by which an obstore S3Store goes to `url`, whatever the environment says.

    AWS_ENDPOINT_URL_S3, which every job has, would win over `endpoint` alone.
    """
    return {"endpoint": url, "aws_endpoint_url_s3": url}


def registered_buckets() -> frozenset[str]:
    """Return the buckets that have an entry."""
    return frozenset(each.bucket for each in _entries(os.environ.get(REGISTERED, "")))


def find_registered(bucket: str, key: str) -> Registered | None:
    """Return the entry that an object, or a folder, lies under; None where there is none.

    Raises:
        StoreProblem: The variable cannot be read.
    """
    inside = [
        each
        for each in _entries(os.environ.get(REGISTERED, ""))
        if each.bucket == bucket and f"{key.rstrip('/')}/".startswith(each.prefix)
    ]
    return max(inside, key=lambda each: len(each.prefix), default=None)


@lru_cache(maxsize=4)
def _entries(text: str) -> tuple[Registered, ...]:
    try:
        return tuple(map(Registered.of, json.loads(text))) if text else ()
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        # The text itself holds keys: it is not for messages.
        raise StoreProblem(
            f"{REGISTERED} is not a list of buckets ({type(problem).__name__}).",
            suggestion="It is set by the platform; leave it as it is.",
        ) from None
