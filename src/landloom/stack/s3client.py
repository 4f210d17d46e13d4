"""An S3 client with deadlines, of its own keys only."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

S3_ERRORS = (BotoCoreError, ClientError)
"""Everything that a call may raise because the store refused or did not answer."""


def code_of(error: Exception) -> str:
    """Return the store's own code of a refusal; empty where it did not answer."""
    answer = error.response if isinstance(error, ClientError) else {}
    return str(answer.get("Error", {}).get("Code", ""))


def s3_client(
    endpoint_url: str,
    access_key: str,
    secret_key: str,
    session_token: str | None = None,
    *,
    region: str = "us-east-1",
    timeout_seconds: float = 10.0,
    attempts: int = 1,
) -> Any:
    """Return a boto3 client for one endpoint, blind to profiles and keys of whoever started us."""
    session = boto3.session.Session(
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        aws_session_token=session_token,
        region_name=region,
    )
    return session.client(
        "s3",
        endpoint_url=endpoint_url,
        config=Config(
            connect_timeout=timeout_seconds,
            read_timeout=timeout_seconds,
            retries={"max_attempts": attempts, "mode": "standard"},
            s3={"addressing_style": "path"},
            signature_version="s3v4",
        ),
    )
