"""From an integration's row to keys: its secret opened, its role assumed."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog
from botocore.exceptions import ClientError

from landloom.errors import LandloomError, Unavailable
from landloom.server.kit.clock import now
from landloom.server.kit.sealing import Sealer
from landloom.server.storage.admin import Credentials
from landloom.server.storage.clients import S3_ERRORS
from landloom.server.storage.integrations.tables import StorageIntegration
from landloom.server.storage.places import StoreAccess
from landloom.server.storage.roles import Role

AWS_DOMAIN: Final = ".amazonaws.com"
_LIVES_SECONDS: Final = (12 * 3600, 3600)
"""What a role is asked for: the longest that AWS knows, else what every role grants."""
_SPENT: Final = 0.5
"""Part of a session's life after which a new one is made, so that what it is handed to can work."""
_NO_KEYS: Final = Credentials("refused", "refused")
"""For an integration whose keys cannot be had: the store refuses them, as it should."""
_AGAIN_SECONDS: Final = 30.0
"""How long an integration without keys is taken for one: asking costs every request a while."""

_log = structlog.get_logger("landloom.storage")


class IntegrationAccess:
    """Gives access to integrations; sessions of roles are kept for a while."""

    def __init__(self, sealer: Sealer, platform: Credentials | None) -> None:
        """Make one.

        Args:
            sealer: Opens the secrets.
            platform: AWS keys of the platform itself, which roles may trust; None without.
        """
        self._sealer = sealer
        self._platform = platform
        self._sessions: dict[tuple[str, str], tuple[Credentials, float]] = {}
        self._failed: dict[str, float] = {}
        """Until when each integration that failed is not tried again."""
        self._lock = threading.Lock()

    def seal(self, row: StorageIntegration, secret_key: str) -> str:
        """Return a secret key sealed for its row."""
        return self._sealer.seal(secret_key, place=row.place)

    async def of(self, row: StorageIntegration) -> StoreAccess:
        """Return how to reach an integration.

        Raises:
            Unavailable: Its secret cannot be opened, or its role not be assumed.
        """
        return await self._of(row, tags={})

    async def tagged(self, row: StorageIntegration, tags: dict[str, str]) -> StoreAccess:
        """Return access by a session of the role that carries these tags.

        Raises:
            Unavailable: As for `of`.
        """
        return await self._of(row, tags=tags)

    async def if_any(self, row: StorageIntegration) -> StoreAccess:
        """Return access, with keys that open nothing where the right ones cannot be had.

        One integration that is out of order must not take the others away.
        """
        if time.monotonic() < self._failed.get(row.id, 0.0):
            return _access(row, _NO_KEYS)
        try:
            return await self.of(row)
        except LandloomError as problem:
            self._failed[row.id] = time.monotonic() + _AGAIN_SECONDS
            _log.warning("an integration has no keys", integration=row.id, problem=str(problem))
            return _access(row, _NO_KEYS)

    async def _of(self, row: StorageIntegration, tags: dict[str, str]) -> StoreAccess:
        keys = self._own_keys(row)
        if row.role_arn is None:
            return _access(row, keys)
        return _access(row, await asyncio.to_thread(self._session, row, row.role_arn, keys, tags))

    def _own_keys(self, row: StorageIntegration) -> Credentials | None:
        if row.access_key is None or row.sealed_secret is None:
            return None
        secret = self._sealer.open(row.sealed_secret, place=row.place)
        return Credentials(row.access_key, secret)

    def _session(
        self, row: StorageIntegration, arn: str, keys: Credentials | None, tags: dict[str, str]
    ) -> Credentials:
        """Return a session of the row's role, kept unless half of its life is over."""
        kept_as = (row.id, repr(sorted(tags.items())))
        with self._lock:
            kept = self._sessions.get(kept_as)
            if kept is not None and now().timestamp() < kept[1]:
                return kept[0]
        made = self._assume(row, arn, keys, tags)
        ends = made.expires_at or now() + timedelta(seconds=_LIVES_SECONDS[-1])
        renew = now().timestamp() + _SPENT * (ends - now()).total_seconds()
        with self._lock:
            self._sessions[kept_as] = (made, renew)
        return made

    def _assume(
        self, row: StorageIntegration, arn: str, keys: Credentials | None, tags: dict[str, str]
    ) -> Credentials:
        keys = keys or self._platform
        if keys is None:
            raise Unavailable(
                f"There are no keys to assume the role {arn} with.",
                suggestion="Register the integration with keys that the role trusts.",
            )
        role = Role(arn, _sts(row, keys))
        for seconds in _LIVES_SECONDS:
            try:
                return role.assume(
                    name=f"landloom-{row.organization_id}",
                    seconds=seconds,
                    # The organization, so that no other can use a role that trusts the platform.
                    external_id=row.organization_id,
                    tags=tags,
                )
            except S3_ERRORS as problem:
                if seconds != _LIVES_SECONDS[-1] and isinstance(problem, ClientError):
                    continue
                raise Unavailable(
                    f"The role {arn} of the integration {row.name!r} cannot be assumed: {problem}.",
                    suggestion="GET /storage/trust-relationship says whom it must trust.",
                ) from problem
        raise AssertionError  # the last try returns or raises


def is_aws(endpoint_url: str) -> bool:
    """Say whether an endpoint is one of AWS."""
    host = endpoint_url.partition("://")[2].partition("/")[0].partition(":")[0]
    return host.endswith(AWS_DOMAIN)


def _access(row: StorageIntegration, keys: Credentials | None) -> StoreAccess:
    return StoreAccess(
        endpoint_url=row.endpoint_url,
        region=row.region,
        credentials=keys,
        addressing=row.addressing,
    )


def _sts(row: StorageIntegration, keys: Credentials) -> StoreAccess:
    """Return where a role is assumed: AWS has a host for it, other stores answer beside S3."""
    access = _access(row, keys)
    if is_aws(row.endpoint_url):
        return replace(access, endpoint_url=f"https://sts.{row.region}{AWS_DOMAIN}")
    return access
