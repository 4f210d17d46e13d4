"""The server's door to the embedded store: buckets, users, keys to lend."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

from landloom.errors import Unavailable
from landloom.server.storage.admin import Credentials
from landloom.server.storage.clients import S3_ERRORS, code_of, s3_client
from landloom.server.storage.roles import Role
from landloom.server.storage.scopes import Scope
from landloom.stack.identities import ADMIN
from landloom.stack.objectstore import EmbeddedStore
from landloom.stack.weed import LENDING_ARN

_KNOWN_WITHIN_SECONDS = 30.0
"""A reload takes 0.03 s; the rest is for a store that is just starting again."""

_POLL_SECONDS = 0.05
_READ_SECONDS = 5.0


class EmbeddedStoreAdmin:
    """`ObjectStoreAdmin` of an embedded store. Keys are derived, so nothing is ever looked up."""

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, tuple[str, ...]]] = {}
        """What users were last granted here, once the store knows it."""
        self._role = Role(LENDING_ARN, store.config.access(ADMIN))

    @property
    def can_scope(self) -> bool:
        """Always: each user is an identity of the store."""
        return True

    async def ensure_bucket(self, name: str) -> None:
        """Make the bucket unless it is there.

        Raises:
            Unavailable: The store does not answer.
        """
        await asyncio.to_thread(self._ensure_bucket, name)

    async def ensure_user(
        self, user_id: str, *, bucket: str, read_write: Sequence[str]
    ) -> Credentials:
        """Make the user unless it is there, with rights on these prefixes of `bucket` and no more.

        Returns:
            Keys that the store has accepted.

        Raises:
            Unavailable: The store does not answer.
        """
        return await asyncio.to_thread(self._ensure_user, user_id, bucket, tuple(read_write))

    async def withdraw_user(self, user_id: str) -> None:
        """Take all rights from the user's keys.

        Where they were used since this process began, it returns once the store refuses them.

        Raises:
            Unavailable: The store does not answer.
        """
        await asyncio.to_thread(self._withdraw_user, user_id)

    async def lend(self, scope: Scope, *, seconds: int | None = None) -> Credentials:
        """Return temporary keys that reach `scope` and nothing else; see `Role.lend`."""
        return await asyncio.to_thread(self._role.lend, scope, seconds)

    def _ensure_bucket(self, name: str) -> None:
        client = s3_client(self._store.config.access(ADMIN))
        try:
            client.create_bucket(Bucket=name)
        except (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            return
        except S3_ERRORS as error:
            raise Unavailable(
                f"The object store did not make the bucket {name}: {error}.",
                suggestion=f"Its log is {self._store.log}.",
            ) from error

    def _ensure_user(self, user_id: str, bucket: str, prefixes: tuple[str, ...]) -> Credentials:
        name = f"user-{user_id}"
        credentials = self._store.config.credentials(name)
        if self._known.get(name) == (bucket, prefixes):
            return credentials
        with self._lock:
            if self._store.identities.grant(name, bucket, prefixes):
                self._store.reload()
            self._wait_until_known(name, bucket, prefixes[0])
            self._known[name] = bucket, prefixes
        return credentials

    def _withdraw_user(self, user_id: str) -> None:
        name = f"user-{user_id}"
        with self._lock:
            granted = self._known.pop(name, None)
            if self._store.identities.withdraw(name):
                self._store.reload()
                if granted is not None:
                    bucket, prefixes = granted
                    self._wait_until_refused(name, bucket, prefixes[0])

    def _wait_until_known(self, name: str, bucket: str, prefix: str) -> None:
        self._wait(
            lambda refusal: refusal is None,
            name,
            bucket,
            prefix,
            f"The object store does not accept the keys of {name}",
        )

    def _wait_until_refused(self, name: str, bucket: str, prefix: str) -> None:
        self._wait(
            lambda refusal: refusal is not None and code_of(refusal) == "AccessDenied",
            name,
            bucket,
            prefix,
            f"The object store still accepts the keys of {name}",
        )

    def _wait(
        self,
        is_so: Callable[[Exception | None], bool],
        name: str,
        bucket: str,
        prefix: str,
        otherwise: str,
    ) -> None:
        """List a folder with a user's keys until the refusal, or None, is what is waited for."""
        access = self._store.config.access(name)
        client = s3_client(access, attempts=1, read_seconds=_READ_SECONDS)
        deadline = time.monotonic() + _KNOWN_WITHIN_SECONDS
        while True:
            refusal: Exception | None = None
            try:
                client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
            except S3_ERRORS as error:
                refusal = error
            if is_so(refusal):
                return
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{otherwise}: {refusal}.", suggestion=f"Its log is {self._store.log}."
                ) from refusal
            time.sleep(_POLL_SECONDS)
