"""Finds out what lies under each prefix: by listing those alone where something may have changed.

One prefix takes a twentieth of the time at most, after a listing of a second the next one is twenty
seconds later, and all of them together a fifth.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy.exc import IntegrityError

from landloom.errors import LandloomError, Unavailable
from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.kit.ids import new_id
from landloom.server.settings import Settings
from landloom.server.storage.layout import UserStorage
from landloom.server.storage.objects import S3Objects
from landloom.server.storage.quota import repository
from landloom.server.storage.quota.tables import StorageUse
from landloom.server.storage.sources import Sources

_AWAY_SECONDS: Final = 60.0
"""How long a store that does not answer is left alone."""
_REST: Final = 4.0
"""Times that a round took for which nothing is measured after it."""
_SHARE: Final = 20.0
"""A prefix is measured again after this many times what measuring took."""
_ANYWAY: Final = timedelta(hours=24)
"""After this time a prefix is measured though nobody asked us to write there."""
_NEW: Final = timedelta(hours=1)
"""How long writes of a new user are expected: whoever noted any before found no row."""
_AT_ONCE: Final = 200
_MOST_FOLDERS: Final = 100

_log = structlog.get_logger("landloom.quota")


class Measuring:
    """Keeps the numbers of what is stored."""

    def __init__(
        self, settings: Settings, database: Database, sources: Sources, objects: S3Objects
    ) -> None:
        self._settings = settings
        self._database = database
        self._sources = sources
        self._objects = objects

    async def run(self) -> None:
        """Measure what may have changed, again and again, until cancelled."""
        pause = self._settings.storage_look_seconds
        while True:
            # Before the first time too: a server that just starts has others to answer.
            await asyncio.sleep(pause)
            pause, begun = self._settings.storage_look_seconds, time.monotonic()
            try:
                await self._add_unknown()
                await self.measure_stale()
                pause = max(pause, _REST * (time.monotonic() - begun))
            except Unavailable as problem:
                _log.warning("storage is not measured", problem=problem.message)
                pause = _AWAY_SECONDS
            except Exception:  # noqa: BLE001 - a database that is away comes back
                _log.exception("storage could not be measured")

    async def measure_stale(self) -> int:
        """Measure every prefix that is due; return how many those were.

        Raises:
            Unavailable: The store does not answer.
        """
        at = now()
        async with self._database.reading(None) as session:
            found = await repository.stale(session, before=at - _ANYWAY, limit=_AT_ONCE)
        due = [each for each in found if each.use.measured_at is None or self._next(each.use) <= at]
        for each in due:
            try:
                await self._measure(each)
            except Unavailable:
                raise
            except LandloomError as problem:
                prefix = each.use.prefix
                _log.warning("a prefix is not measured", prefix=prefix, problem=str(problem))
        return len(due)

    async def _add_unknown(self) -> None:
        """Make rows for the prefixes of users who have none yet."""
        async with self._database.reading(None) as session:
            users = await repository.unknown_users(session, limit=_AT_ONCE)
        for user in users:
            storage = UserStorage(self._settings.bucket, user.organization_id, user.id)
            try:
                async with self._database.writing(None) as session:
                    known = await repository.prefixes(session, user.organization_id)
                    session.add_all(
                        _row(storage, prefix)
                        for prefix in storage.writable_prefixes
                        if prefix not in known
                    )
            except IntegrityError:
                continue  # Another server was faster.

    def _next(self, row: StorageUse) -> datetime:
        """Return when a prefix may be measured again."""
        seconds = max(self._settings.storage_look_seconds, _SHARE * row.measured_seconds)
        return (row.measured_at or row.created_at) + timedelta(seconds=seconds)

    async def _measure(self, stale: repository.Stale) -> None:
        begun, at, row = time.monotonic(), now(), stale.use
        source = await self._sources.managed(stale)
        found = _Found()
        token = None
        while True:
            listing = await self._objects.list(
                source.access, source.bucket, row.prefix, deep=True, after=token
            )
            for each in listing.objects:
                found.add(each.key.removeprefix(row.prefix), each.size)
            token = listing.next
            if token is None:
                break
        async with self._database.writing(None) as session:
            await repository.put(
                session,
                row.id,
                bytes=found.bytes.total(),
                objects=found.objects.total(),
                folders=found.folders(),
                # As of the beginning: what was written meanwhile may be missing.
                measured_at=at,
                measured_seconds=time.monotonic() - begun,
                updated_at=at,
            )


@dataclass(slots=True)
class _Found:
    """Sums by the folder right under the prefix; files right under it are in `""`."""

    bytes: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)

    def add(self, path: str, size: int) -> None:
        folder, slash, _ = path.partition("/")
        name = folder if slash else ""
        self.bytes[name] += size
        self.objects[name] += not path.endswith("/")

    def folders(self) -> list[dict[str, Any]]:
        """Return the largest ones."""
        return [
            {"name": name, "bytes": size, "objects": self.objects[name]}
            for name, size in self.bytes.most_common(_MOST_FOLDERS)
            if name
        ]


def _row(storage: UserStorage, prefix: str) -> StorageUse:
    made_at = now()
    return StorageUse(
        id=new_id(),
        created_at=made_at,
        updated_at=made_at,
        organization_id=storage.organization_id,
        user_id=storage.user_id,
        prefix=prefix,
        is_own=prefix in {storage.private_prefix, storage.notebooks_prefix},
        bytes=0,
        objects=0,
        folders=[],
        measured_seconds=0.0,
        written_until=made_at + _NEW,
    )
