"""Quotas: checked against what was measured, never by looking at objects."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final

from landloom.errors import QuotaExceeded
from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.settings import Settings
from landloom.server.storage.layout import SCHEME
from landloom.server.storage.places import Source
from landloom.server.storage.quota import repository, schemas
from landloom.server.storage.sources import Holder

_TELL_AGAIN: Final = timedelta(minutes=5)
"""Writes are expected for this much longer than asked, so that they are noted down rarely."""
_KEPT_SECONDS: Final = 1.0
_UNITS: Final = ("bytes", "KB", "MB", "GB", "TB", "PB")


class Quota:
    """What is stored, and whether there may be more."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._kept: dict[str, tuple[float, repository.Stored]] = {}
        self._told: dict[str, float] = {}
        """Until when each user's writes are noted as expected, by the monotonic clock."""

    async def admit(self, source: Source, *, seconds: float) -> None:
        """Let whoever a source is for write to it for a while, unless there is too much already.

        Integrations have no quota here.

        Raises:
            QuotaExceeded: As much is stored as may be.
        """
        if source.storage is None:
            return
        await self.require_room(source.storage)
        await self.expect_writes(source.storage, seconds=seconds)

    async def changed(self, source: Source) -> None:
        """Note that something was deleted or renamed at a source."""
        if source.storage is not None:
            await self.expect_writes(source.storage, seconds=0)

    async def require_room(self, holder: Holder) -> None:
        """Do nothing if a holder may store more.

        Raises:
            QuotaExceeded: As much is stored as may be.
        """
        own, shared = self._settings.user_quota_bytes, self._settings.organization_quota_bytes
        if own is None and shared is None:
            return
        found = await self._stored(holder)
        try:
            self._require(found)
        except QuotaExceeded:
            # What was deleted meanwhile, by whatever tool, is seen soon.
            self._kept.pop(holder.user_id, None)
            await self.expect_writes(holder, seconds=0)
            raise

    def _require(self, found: repository.Stored) -> None:
        own, shared = self._settings.user_quota_bytes, self._settings.organization_quota_bytes
        if own is not None and found.own_bytes >= own:
            raise QuotaExceeded(
                f"Your storage holds {size(found.own_bytes)}, and your quota is {size(own)}.",
                suggestion="Delete what you no longer need with `landloom storage rm`; GET"
                " /storage/usage says where it lies. Or ask the platform's operator for more:"
                " LANDLOOM_USER_QUOTA_BYTES.",
            )
        if shared is not None and found.organization_bytes >= shared:
            raise QuotaExceeded(
                f"Your organization's storage holds {size(found.organization_bytes)}, and its"
                f" quota is {size(shared)}.",
                suggestion="Delete what nobody needs; GET /storage/usage says where it lies. Or ask"
                " the platform's operator for more: LANDLOOM_ORGANIZATION_QUOTA_BYTES.",
            )

    async def expect_writes(self, holder: Holder, *, seconds: float) -> None:
        """Note that a holder may write for a while, so that it is measured meanwhile."""
        end = time.monotonic() + seconds
        if self._told.get(holder.user_id, 0.0) >= end:
            return
        until = now() + timedelta(seconds=seconds) + _TELL_AGAIN
        async with self._database.writing(holder.organization_id) as session:
            await repository.expect_writes(session, holder.user_id, until)
        # Only now: a note that was not written has to be written by whoever comes next.
        self._told[holder.user_id] = end + _TELL_AGAIN.total_seconds()

    async def _stored(self, holder: Holder) -> repository.Stored:
        """Return what is stored; asked of the database once a second for each user."""
        kept = self._kept.get(holder.user_id)
        if kept is None or time.monotonic() > kept[0]:
            async with self._database.reading(holder.organization_id) as session:
                found = await repository.stored(session, holder.organization_id, holder.user_id)
            kept = self._kept[holder.user_id] = time.monotonic() + _KEPT_SECONDS, found
        return kept[1]

    async def usage(self, holder: Holder) -> schemas.StorageUsage:
        """Return what is stored under each prefix that the holder reaches."""
        settings = self._settings
        async with self._database.reading(holder.organization_id) as session:
            rows = await repository.of_user(session, holder.user_id)
            found = await repository.stored(session, holder.organization_id, holder.user_id)
        return schemas.StorageUsage(
            bytes=found.own_bytes,
            quota_bytes=settings.user_quota_bytes,
            organization_bytes=found.organization_bytes,
            organization_quota_bytes=settings.organization_quota_bytes,
            prefixes=[
                schemas.PrefixUse(
                    path=f"{SCHEME}{settings.bucket}/{row.prefix}",
                    own=row.is_own,
                    bytes=row.bytes,
                    objects=row.objects,
                    folders=[schemas.FolderUse.model_validate(each) for each in row.folders],
                    measured_at=row.measured_at,
                )
                for row in rows
            ],
        )


def size(count: int) -> str:
    """Write a number of bytes for people, in powers of 1000: 1500 is `1.5 KB`."""
    value, unit = float(count), _UNITS[0]
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:  # noqa: PLR2004 - of the units
            break
        value /= 1000
    return f"{value:.3g} {unit}" if unit != _UNITS[0] else f"{count} bytes"
