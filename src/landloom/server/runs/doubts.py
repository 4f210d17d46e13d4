"""Runs of which nobody can say whether they are stored, kept until they are.

When PostgreSQL goes away while a commit is on its way, and stays away, the run may be stored or
not. Its client would answer an error by submitting again, and might then have two. So it is told
that the run is made, and what would be its row is kept in a file here until the database is back:
there the row is found, or stored under the same id. The file outlives the server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from landloom.runner import folder
from landloom.server.db.session import Database
from landloom.server.kit.clock import from_wire, to_wire
from landloom.server.runs import repository
from landloom.server.runs.tables import Run

_PAUSE_SECONDS: Final = 0.5
_SUFFIX: Final = ".json"
_INSTANT: Final = "_at"
"""How the names of columns end that hold instants."""

_log = structlog.get_logger("landloom.runs")


class Doubts:
    """Keeps the rows of runs that may be stored, and stores those that are not."""

    def __init__(
        self, database: Database, directory: Path, tell_dispatcher: Callable[[], None]
    ) -> None:
        self._database = database
        self._directory = directory
        self._tell_dispatcher = tell_dispatcher
        self._kept = asyncio.Event()

    async def keep(self, row: dict[str, Any]) -> None:
        """Keep what would be a run's row; once this returns it is stored, or will be.

        Raises:
            OSError: It cannot be written down.
        """
        await asyncio.to_thread(self._write, row)
        _log.warning("a run may be stored or not; it is kept until that is known", run=row["id"])
        self._kept.set()

    async def run(self) -> None:
        """Store what is kept, as soon as there is a database, until cancelled."""
        while True:
            self._kept.clear()
            while await self._settle_all():  # noqa: ASYNC110 - no event tells of databases
                await asyncio.sleep(_PAUSE_SECONDS)
            await self._kept.wait()

    async def _settle_all(self) -> bool:
        """Store what is kept; tell whether something is left to be done."""
        found = await asyncio.to_thread(lambda: sorted(self._directory.glob(f"[!.]*{_SUFFIX}")))
        try:
            for path in found:
                await self._settle(json.loads(await asyncio.to_thread(path.read_bytes)))
                await asyncio.to_thread(path.unlink, missing_ok=True)
        except (SQLAlchemyError, OSError):
            return True
        if found:
            self._tell_dispatcher()
        return False

    async def _settle(self, row: dict[str, Any]) -> None:
        run = Run(**{name: _loaded(name, value) for name, value in row.items()})
        try:
            async with self._database.writing(None) as session:
                if not await repository.exists(session, run.id):
                    session.add(run)
        except IntegrityError:
            # Another server stored it just now, or a later try of the same POST, which its client
            # knows instead; or who submitted it was removed meanwhile.
            _log.warning("a run in doubt is not stored again", run=row["id"], exc_info=True)

    def _write(self, row: dict[str, Any]) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = {name: _dumped(name, value) for name, value in row.items()}
        folder.write_json(self._directory / f"{row['id']}{_SUFFIX}", kept)


def row_of(run: Run) -> dict[str, Any]:
    """Return a run's columns by their names."""
    return {column.key: getattr(run, column.key) for column in Run.__mapper__.column_attrs}


def _dumped(name: str, value: Any) -> Any:
    return to_wire(value) if name.endswith(_INSTANT) and value is not None else value


def _loaded(name: str, value: Any) -> Any:
    return from_wire(value) if name.endswith(_INSTANT) and value is not None else value
