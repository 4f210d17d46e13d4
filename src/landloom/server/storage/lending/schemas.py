"""Bodies of `/storage/credentials`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from landloom.server.kit.camel import CamelAnswer, CamelModel

type AccessMode = Literal["read", "read_write"]


class StorageCredentialsRequest(CamelModel):
    """Which path keys are wanted for."""

    path: Annotated[
        str,
        Field(
            min_length=6,
            max_length=1024,
            pattern=r"^s3:\/\/([a-zA-Z0-9\-_]{3,63})(?:\/?|\/([a-zA-Z0-9!_.*'()/&=-]+))?$",
        ),
    ]
    access_mode: Annotated[
        AccessMode, Field(alias="access_mode", description="read or read_write.")
    ] = "read"


class IngestCredentials(CamelAnswer):
    """Temporary keys to the caller's own folder."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expiration: datetime


class TemporaryAwsCredentials(IngestCredentials):
    """Temporary keys, and the region to sign for."""

    region: str
