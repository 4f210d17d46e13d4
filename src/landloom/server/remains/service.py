"""Keeps the disk from filling up with what has ended.

Soon after its end a workload's folder is cleared of all but its log, its figures and its end: of
keys, files that it brought and files that it wrote. Where the operator says how many days logs are
kept, the folder goes after those. What a killed server left half done goes after an hour.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import batched
from pathlib import Path
from typing import Final

import structlog

from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.remains import folders, repository
from landloom.server.remains.repository import End
from landloom.server.settings import Settings

_LOOK_SECONDS: Final = 900.0
"""How often all folders are looked through."""
_AGAIN_SECONDS: Final = 1.0
_TRIES: Final = 20
"""A runner goes within moments of its end; what stays held is left to the next look."""
_AT_ONCE: Final = 500
_LEFT_SECONDS: Final = 3600.0
"""No installation and no trial takes as long."""

_log = structlog.get_logger("landloom.remains")


class Remains:
    """Clears, and at last removes, the folders of ended workloads."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._noted: dict[str, int] = {}
        self._cleared: set[str] = set()
        self._woken = asyncio.Event()

    def note(self, workload_id: str) -> None:
        """Say that a workload may have ended."""
        self._noted[workload_id] = _TRIES
        self._woken.set()

    async def run(self) -> None:
        """Clear what has ended, until cancelled."""
        due = time.monotonic()
        while True:
            self._woken.clear()
            try:
                if time.monotonic() >= due:
                    due = time.monotonic() + _LOOK_SECONDS
                    await self.look()
                await self.clear_noted()
            except Exception:  # noqa: BLE001 - a database that is away comes back
                _log.exception("what ended workloads left could not be looked at")
            if self._noted:
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), due - time.monotonic())

    async def clear_noted(self) -> None:
        """Clear the folders of those noted that have ended; the rest is tried again, some times."""
        noted = {each: tries - 1 for each, tries in self._noted.items() if tries}
        self._noted.clear()
        try:
            await self._settle(noted, None)
        finally:
            left = {each: tries for each, tries in noted.items() if each not in self._cleared}
            # One that was noted again meanwhile starts anew.
            self._noted = {each: tries for each, tries in left.items() if tries} | self._noted

    async def look(self) -> None:
        """Clear all folders of ended workloads, and remove those whose days are over."""
        days = self._settings.log_days
        before = now() - timedelta(days=days) if days is not None else None
        names = await asyncio.to_thread(_names, self._settings.workloads_dir)
        self._cleared &= names
        await self._settle(names if before else names - self._cleared, before)
        await asyncio.to_thread(self._remove_left)

    async def _settle(self, ids: Iterable[str], before: datetime | None) -> None:
        for some in batched(ids, _AT_ONCE):
            async with self._database.reading(None) as session:
                ends = await repository.ends(session, some)
            for end in ends:
                try:
                    await self._settle_one(end, before)
                except OSError as problem:
                    _log.warning(
                        "a folder stays", workload=end.workload_id, problem=problem.strerror
                    )

    async def _settle_one(self, end: End, before: datetime | None) -> None:
        directory = self._settings.workloads_dir / end.workload_id
        if before is not None and end.at is not None and end.at < before:
            if await asyncio.to_thread(folders.remove, directory):
                _log.info("log removed", workload=end.workload_id)
        elif end.workload_id not in self._cleared and await asyncio.to_thread(
            _clear, directory, end
        ):
            self._cleared.add(end.workload_id)

    def _remove_left(self) -> None:
        before = time.time() - _LEFT_SECONDS
        settings = self._settings
        for prefix in (".seated-", ".probe-"):
            folders.remove_left(settings.workloads_dir, prefix, before=before)
        for kept in ("overlays", "environments"):
            folders.remove_left(settings.cache_dir / kept, ".new-", before=before)


def _clear(directory: Path, end: End) -> bool:
    """Clear a folder; one that is not there has nothing to be cleared of."""
    try:
        return folders.clear(directory, is_workflow=end.is_workflow)
    except FileNotFoundError:
        return not directory.exists()


def _names(workloads: Path) -> set[str]:
    return {each.name for each in workloads.iterdir() if not each.name.startswith(".")}
