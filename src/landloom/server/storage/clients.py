"""S3 clients of boto3: made from a way to reach a store, and of nothing else around."""

from __future__ import annotations

from typing import Any, Final

import boto3
from botocore import UNSIGNED
from botocore.config import Config

from landloom.server.storage.places import StoreAccess

_CONNECT_SECONDS: Final = 5.0
_READ_SECONDS: Final = 30.0
_ATTEMPTS: Final = 4


def s3_client(
    access: StoreAccess, *, attempts: int = _ATTEMPTS, read_seconds: float = _READ_SECONDS
) -> Any:
    """Return a client; making one costs 0.15 s of CPU, and threads may share it."""
    keys = access.credentials
    # A session of its own: boto3's default session is not safe among threads, and would read the
    # profile of whoever started the server.
    session = boto3.session.Session(
        aws_access_key_id=keys.access_key if keys else None,
        aws_secret_access_key=keys.secret_key if keys else None,
        aws_session_token=keys.session_token if keys else None,
        region_name=access.region,
    )
    config: dict[str, Any] = {} if keys else {"signature_version": UNSIGNED}
    return session.client(
        "s3",
        endpoint_url=access.endpoint_url,
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=read_seconds,
            retries={"max_attempts": attempts, "mode": "standard"},
            s3={"addressing_style": access.addressing},
            **config,
        ),
    )
