"""Temporary keys by the AssumeRole call of S3 stores (AWS STS API reference)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from botocore.exceptions import ClientError

from landloom.errors import Unavailable
from landloom.server.storage.admin import Credentials
from landloom.server.storage.clients import S3_ERRORS, code_of, sts_client
from landloom.server.storage.places import StoreAccess
from landloom.server.storage.scopes import Scope

_SESSION_NAME: Final = "landloom"
_BROKEN_POLICY: Final = frozenset({"InvalidParameterValue", "MalformedPolicyDocument"})
"""Answers to a policy that a store does not understand; MinIO, to bounds on listing uploads."""


@dataclass(frozen=True)
class Role:
    """A role of a store, and whose keys assume it. Calls may be made in any thread."""

    arn: str
    access: StoreAccess
    """Where STS answers, with the keys of whom the role trusts."""

    def assume(
        self,
        *,
        name: str = _SESSION_NAME,
        seconds: int | None = None,
        policy: str = "",
        external_id: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> Credentials:
        """Return keys of a session of the role.

        Args:
            name: Of the session.
            seconds: 900 to 43,200; None is what the store likes.
            policy: What the keys are held to; without one they have all of the role's rights.
            external_id: Condition of roles that trust whoever knows it.
            tags: That the session carries.

        Raises:
            BotoCoreError: The store does not answer.
            ClientError: It refuses.
        """
        asked: dict[str, Any] = {
            "DurationSeconds": seconds,
            "Policy": policy,
            "ExternalId": external_id,
            "Tags": [{"Key": key, "Value": value} for key, value in (tags or {}).items()],
        }
        answer = self._client.assume_role(
            RoleArn=self.arn,
            RoleSessionName=name,
            **{key: value for key, value in asked.items() if value},
        )
        made = answer["Credentials"]
        return Credentials(
            made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"], made["Expiration"]
        )

    def lend(self, scope: Scope, seconds: int | None = None) -> Credentials:
        """Return keys that reach `scope` and nothing else.

        Args:
            scope: What they reach.
            seconds: 900 to 43,200; None is what the store likes.

        Raises:
            InvalidInput: The scope cannot be told to the store.
            Unavailable: The store does not answer, or refuses.
        """
        try:
            try:
                return self.assume(seconds=seconds, policy=scope.policy())
            except ClientError as error:
                if code_of(error) not in _BROKEN_POLICY or not scope.writable:
                    raise
                return self.assume(seconds=seconds, policy=scope.policy(uploads=False))
        except S3_ERRORS as error:
            raise Unavailable(
                f"The object store does not lend keys: {error}.",
                suggestion="Try again; if it goes on, tell the platform's operator.",
            ) from error

    @cached_property
    def _client(self) -> Any:
        return sts_client(self.access)
