"""Temporary outputs of workflows, deleted when their time is over.

Outputs of a workflow that named no bucket lie in a folder of its own in its user's storage. They
are deleted with keys that the store lends for that one folder, so whatever goes wrong here, nothing
else can go. Of two servers that try at once, one finds nothing.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from landloom.errors import LandloomError, NotFound
from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.settings import Settings
from landloom.server.storage.admin import Credentials, ObjectStoreAdmin
from landloom.server.storage.layout import SCHEME, UserStorage
from landloom.server.storage.places import StoreAccess
from landloom.server.storage.removal import Removal
from landloom.server.storage.scopes import Scope
from landloom.server.workflows import repository
from landloom.server.workflows.tables import Workflow

_LOOK_SECONDS: Final = 900.0
"""How often; a seven-day-old output may stay that much longer."""
_AT_ONCE: Final = 100
_KEY_SECONDS: Final = 3600
"""Life of the keys: what they do not delete by then is deleted by the next ones."""

_log = structlog.get_logger("landloom.expiry")


class Expiry:
    """Deletes temporary outputs of workflows that ended long ago."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        object_store: ObjectStoreAdmin,
        removal: Removal,
    ) -> None:
        self._settings = settings
        self._database = database
        self._object_store = object_store
        self._removal = removal

    async def run(self) -> None:
        """Delete what is due, and again every quarter of an hour, until cancelled."""
        while self._settings.temporary_days is not None:
            try:
                await self.delete_due()
            except Exception:  # noqa: BLE001 - a database or store that is away comes back
                _log.exception("temporary outputs could not be looked at")
            await asyncio.sleep(_LOOK_SECONDS)

    async def delete_due(self) -> int:
        """Delete all outputs whose time is over; return how many workflows' those were."""
        days = self._settings.temporary_days
        if days is None:
            return 0
        before = now() - timedelta(days=days)
        deleted, place = 0, None
        while True:
            async with self._database.reading(None) as session:
                rows = await repository.temporary_before(session, before, place, limit=_AT_ONCE)
                due = [
                    row for row in rows if not await repository.is_used_since(session, row, before)
                ]
            for row in due:
                deleted += await self._delete(row)
            if len(rows) < _AT_ONCE:
                return deleted
            place = rows[-1].completed_at or before, rows[-1].id

    async def _delete(self, row: Workflow) -> bool:
        """Delete the outputs of one workflow; say whether they are gone."""
        try:
            await self._delete_folder(row)
        except NotFound:
            pass  # It wrote nothing, or its user deleted it.
        except LandloomError as problem:
            _log.warning("temporary outputs stay", workflow=row.id, problem=str(problem))
            return False
        days = self._settings.temporary_days
        async with self._database.writing(None) as session:
            await repository.mark_removed(
                session, row.id, f"Its temporary outputs were deleted after {days:g} days."
            )
        _log.info("temporary outputs deleted", workflow=row.id)
        return True

    async def _delete_folder(self, row: Workflow) -> None:
        settings = self._settings
        storage = UserStorage(settings.bucket, row.organization_id, row.user_id)
        prefix = storage.workflow_path(row.id).removeprefix(f"{SCHEME}{settings.bucket}/")
        access = StoreAccess(
            endpoint_url=settings.s3_endpoint,
            region=settings.s3_region,
            credentials=await self._keys(storage, prefix),
            addressing=settings.s3_addressing,
        )
        # What a worker that was killed left half uploaded is in no listing.
        await self._removal.uploads(access, settings.bucket, prefix)
        await self._removal.folder(access, settings.bucket, prefix)

    async def _keys(self, storage: UserStorage, prefix: str) -> Credentials:
        """Return keys for one folder; where the store lends none, those of the folder's owner."""
        if self._object_store.can_scope:
            scope = Scope(storage.bucket, (prefix,), writable=True)
            return await self._object_store.lend(scope, seconds=_KEY_SECONDS)
        return await self._object_store.ensure_user(
            storage.user_id, bucket=storage.bucket, read_write=storage.writable_prefixes
        )
