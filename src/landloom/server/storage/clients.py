"""Clients of boto3 for S3 and STS: made from a way to reach a store, and of nothing else around."""

from __future__ import annotations

from typing import Any, Final

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from landloom.server.storage.places import StoreAccess

S3_ERRORS: Final = (BotoCoreError, ClientError)
"""Everything that a call may raise because the store refused or did not answer."""

_CONNECT_SECONDS: Final = 5.0
_READ_SECONDS: Final = 30.0
_ATTEMPTS: Final = 4
_STS_SECONDS: Final = 10.0
_STS_ATTEMPTS: Final = 3


def code_of(error: Exception) -> str:
    """Return the store's own code of a refusal; empty where it did not answer."""
    answer = error.response if isinstance(error, ClientError) else {}
    return str(answer.get("Error", {}).get("Code", ""))


def s3_client(
    access: StoreAccess, *, attempts: int = _ATTEMPTS, read_seconds: float = _READ_SECONDS
) -> Any:
    """Return a client; making one costs 0.15 s of CPU, and threads may share it."""
    config = Config(
        connect_timeout=min(_CONNECT_SECONDS, read_seconds),
        read_timeout=read_seconds,
        retries={"max_attempts": attempts, "mode": "standard"},
        s3={"addressing_style": access.addressing},
        signature_version="s3v4" if access.credentials else UNSIGNED,
    )
    return _client("s3", access, config)


def sts_client(access: StoreAccess, *, attempts: int = _STS_ATTEMPTS) -> Any:
    """Return a client for temporary keys; `access` is where STS answers."""
    config = Config(
        connect_timeout=_STS_SECONDS,
        read_timeout=_STS_SECONDS,
        retries={"max_attempts": attempts, "mode": "standard"},
    )
    return _client("sts", access, config)


def _client(service: str, access: StoreAccess, config: Config) -> Any:
    keys = access.credentials
    # A session of its own: boto3's default session is not safe among threads, and would read the
    # profile of whoever started the server.
    session = boto3.session.Session(
        aws_access_key_id=keys.access_key if keys else None,
        aws_secret_access_key=keys.secret_key if keys else None,
        aws_session_token=keys.session_token if keys else None,
        region_name=access.region,
    )
    return session.client(service, endpoint_url=access.endpoint_url, config=config)
