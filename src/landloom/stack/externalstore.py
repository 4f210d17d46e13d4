"""An object store that somebody else runs: any S3, named by LANDLOOM_S3_ENDPOINT and its keys.

Users are kept to their prefixes by temporary keys (AssumeRole with a policy) where the store makes
such keys and, tried out at each start, holds them to what the policy says. Otherwise everybody has
the operator's keys, and there can be but one user.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from botocore.exceptions import ClientError

from landloom.errors import LandloomError, SetupProblem, Unavailable
from landloom.server.settings import Settings
from landloom.server.storage.admin import Credentials
from landloom.server.storage.clients import S3_ERRORS, code_of, s3_client
from landloom.server.storage.places import StoreAccess
from landloom.server.storage.roles import Role
from landloom.server.storage.scopes import Scope

_TRIALS: Final = ".landloom/trial"
_REFUSED: Final = frozenset({"AccessDenied", "403", "Forbidden"})
_ABSENT: Final = frozenset({"NoSuchBucket", "404", "NotFound"})
_KNOWN_USERS: Final = 4096


@dataclass(slots=True)
class ExternalStore:
    """`ObjectStoreAdmin` of a store that Landloom did not start."""

    settings: Settings
    obstacle: str = field(default="it was not tried", init=False)
    """Why the store does not keep users to their prefixes; empty where it does."""
    _role: Role = field(init=False, repr=False)
    _users: dict[str, tuple[Scope, Credentials]] = field(
        default_factory=dict, init=False, repr=False
    )
    """What each user was last given, by the user's id."""
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        access = self._access(self.operator)
        sts = self.settings.s3_sts_endpoint or access.endpoint_url
        self._role = Role(self.settings.s3_role_arn, replace(access, endpoint_url=sts))

    @property
    def operator(self) -> Credentials:
        """The keys that the settings name."""
        return Credentials(
            self.settings.admin_access_key.get_secret_value(),
            self.settings.admin_secret_key.get_secret_value(),
        )

    @property
    def can_scope(self) -> bool:
        """Whether the store was seen to hold temporary keys to their policy."""
        return not self.obstacle

    def ensure(self) -> None:
        """Return once the bucket takes and gives an object; find out what the store can do.

        Raises:
            SetupProblem: It does not.
        """
        if not (self.operator.access_key and self.operator.secret_key):
            raise SetupProblem(
                f"There are no keys for the object store {self.settings.s3_endpoint}.",
                suggestion="Set LANDLOOM_ADMIN_ACCESS_KEY and LANDLOOM_ADMIN_SECRET_KEY.",
            )
        key, token = self._trial_key(), secrets.token_bytes(16)
        client = self._client(self.operator)
        bucket = self.settings.bucket
        try:
            self._ensure_bucket(bucket)
            client.put_object(Bucket=bucket, Key=key, Body=token)
            if client.get_object(Bucket=bucket, Key=key)["Body"].read() != token:
                raise SetupProblem(f"The object store gives other bytes back for s3://{bucket}.")
            self.obstacle = self._try_scoping(key)
            client.delete_object(Bucket=bucket, Key=key)
        except (*S3_ERRORS, Unavailable) as error:
            raise SetupProblem(
                f"The object store {self.settings.s3_endpoint} does not store in {bucket}: {error}",
                suggestion="Look at LANDLOOM_S3_ENDPOINT, LANDLOOM_S3_REGION,"
                " LANDLOOM_S3_ADDRESSING, LANDLOOM_BUCKET and the keys.",
            ) from error

    async def ensure_bucket(self, name: str) -> None:
        """Make the bucket unless it is there; see `ObjectStoreAdmin`."""
        await asyncio.to_thread(self._ensure_bucket, name)

    async def ensure_user(
        self, user_id: str, *, bucket: str, read_write: Sequence[str]
    ) -> Credentials:
        """Return keys on these prefixes, or the operator's where the store cannot scope.

        Temporary ones are good for at least half of `s3_session_seconds` from now.

        Raises:
            Unavailable: The store does not answer.
        """
        if not self.can_scope:
            return self.operator
        scope = Scope(bucket, tuple(read_write), writable=True)
        with self._lock:
            granted, keys = self._users.get(user_id, (None, None))
        if keys is not None and granted == scope and not self._is_old(keys):
            return keys
        keys = await self.lend(scope, seconds=self.settings.s3_session_seconds)
        with self._lock:
            while len(self._users) >= _KNOWN_USERS:
                self._users.pop(next(iter(self._users)))
            self._users[user_id] = scope, keys
        return keys

    async def withdraw_user(self, user_id: str) -> None:
        """Hand out no more of the user's keys; those handed out work on to their end.

        No store takes back keys of a session, and URLs signed with them go on as long as they do.
        """
        with self._lock:
            self._users.pop(user_id, None)

    async def lend(self, scope: Scope, *, seconds: int | None = None) -> Credentials:
        """Return temporary keys that reach `scope` and nothing else; see `Role.lend`."""
        return await asyncio.to_thread(self._role.lend, scope, seconds)

    def _is_old(self, keys: Credentials) -> bool:
        half = timedelta(seconds=self.settings.s3_session_seconds / 2)
        return keys.expires_at is not None and keys.expires_at < datetime.now(UTC) + half

    def _ensure_bucket(self, name: str) -> None:
        client = self._client(self.operator)
        try:
            try:
                client.head_bucket(Bucket=name)
            except ClientError as problem:
                if code_of(problem) not in _ABSENT:
                    raise
                client.create_bucket(Bucket=name)
        except S3_ERRORS as error:
            raise Unavailable(
                f"The object store did not make the bucket {name}: {error}.",
                suggestion="Make it by hand, or name another with LANDLOOM_BUCKET.",
            ) from error

    def _try_scoping(self, key: str) -> str:
        """Try out temporary keys; return why users cannot be kept to their prefixes, or nothing.

        A store may ignore the policy and still answer, so what it forbids is tried too.
        """
        if not self.settings.s3_role_arn:
            return "LANDLOOM_S3_ROLE_ARN names no role to make temporary keys of"
        own = f"{self._trial_key()}/"
        try:
            keys = self._role.lend(
                Scope(self.settings.bucket, (own,), writable=True), self.settings.s3_session_seconds
            )
            mine = self._client(keys)
            mine.put_object(Bucket=self.settings.bucket, Key=f"{own}x", Body=b"")
            mine.delete_object(Bucket=self.settings.bucket, Key=f"{own}x")
        except (*S3_ERRORS, LandloomError) as error:
            return f"the object store makes no temporary keys: {error}"
        named = {"Bucket": self.settings.bucket, "Key": key}
        for forbidden in (
            lambda: mine.get_object(**named),
            lambda: mine.put_object(**named, Body=b""),
            lambda: mine.delete_object(**named),
            lambda: mine.list_objects_v2(Bucket=self.settings.bucket),
        ):
            if not _is_refused(forbidden):
                return "the object store does not hold temporary keys to their policy"
        return ""

    def _client(self, keys: Credentials) -> Any:
        return s3_client(self._access(keys))

    def _access(self, keys: Credentials) -> StoreAccess:
        settings = self.settings
        return StoreAccess(settings.s3_endpoint, settings.s3_region, keys, settings.s3_addressing)

    @staticmethod
    def _trial_key() -> str:
        return f"{_TRIALS}-{secrets.token_hex(8)}"


def _is_refused(attempt: Any) -> bool:
    try:
        attempt()
    except ClientError as problem:
        return code_of(problem) in _REFUSED
    except S3_ERRORS:
        return False
    return False
