"""Temporary keys by the AssumeRole call of S3 stores (AWS STS API reference)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import boto3
from botocore.config import Config

from landloom.errors import Unavailable
from landloom.server.storage.admin import Credentials
from landloom.server.storage.scopes import Scope
from landloom.stack.s3client import S3_ERRORS

_SESSION_NAME: Final = "landloom"
_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Sessions:
    """Makes temporary keys of a role."""

    endpoint_url: str
    credentials: Credentials
    """Of whom the role trusts."""
    role_arn: str
    region: str = "us-east-1"

    def make(self, scope: Scope, seconds: int | None = None) -> Credentials:
        """Return keys that reach `scope` and nothing else; the call may be made in any thread.

        Args:
            scope: Always given to the store: a session without one has all of the role's rights.
            seconds: 900 to 43,200; None is what the store likes.

        Raises:
            InvalidInput: The scope cannot be told to the store.
            Unavailable: The store does not answer, or refuses.
        """
        duration = {} if seconds is None else {"DurationSeconds": seconds}
        policy = scope.policy()
        try:
            answer = self._client.assume_role(
                RoleArn=self.role_arn, RoleSessionName=_SESSION_NAME, Policy=policy, **duration
            )
        except S3_ERRORS as error:
            raise Unavailable(
                f"The object store does not lend keys: {error}.",
                suggestion="Try again; if it goes on, tell the platform's operator.",
            ) from error
        made = answer["Credentials"]
        return Credentials(
            made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"], made["Expiration"]
        )

    @cached_property
    def _client(self) -> Any:
        session = boto3.session.Session(
            aws_access_key_id=self.credentials.access_key,
            aws_secret_access_key=self.credentials.secret_key,
            aws_session_token=self.credentials.session_token,
            region_name=self.region,
        )
        return session.client(
            "sts",
            endpoint_url=self.endpoint_url,
            config=Config(
                connect_timeout=_SECONDS,
                read_timeout=_SECONDS,
                retries={"max_attempts": 3, "mode": "standard"},
            ),
        )
