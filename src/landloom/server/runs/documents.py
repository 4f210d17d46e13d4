"""Puts runs' documents together, and keeps those of finished runs.

A finished run never changes again, and most of any listing is finished: its document is encoded
once, all but the principal who submitted it, whose name and roles may change. What a page of fifty
then costs is one narrow query and fifty pieces of JSON joined.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from landloom.server.accounts import repository as accounts
from landloom.server.accounts.views import principal
from landloom.server.db.recent import Recent
from landloom.server.db.session import Database
from landloom.server.runs import repository
from landloom.server.runs.rows import EventRow, RunPlace, RunRow
from landloom.server.runs.states import RunStatus
from landloom.server.runs.views import Document, encode, run_document

_MAX_KEPT: Final = 5000
"""Documents of finished runs; one has some two kilobytes."""
_MAX_KEPT_BYTES: Final = 32 * 1024 * 1024
"""Of them all: a run whose arguments are a megabyte has two of them."""

_NOBODY: Final = msgspec.Raw(b"null")

type Version = tuple[Any, ...]
type _Key = tuple[str, str]


class Documents:
    """The documents of runs, as `schemas.RunView` says."""

    def __init__(self, database: Database) -> None:
        # Not a dict: finding the oldest of one passes over all that were taken out before.
        self._finished: OrderedDict[_Key, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._owners: dict[str, tuple[Version, msgspec.Raw]] = {}
        self._recent: Recent[str, msgspec.Raw] = Recent(database)

    async def one(self, session: AsyncSession, run_id: str) -> Document | None:
        """Return the document of a run, or None where there is no such run."""
        row = await repository.find(session, run_id)
        if row is None:
            return None
        events = await repository.events(session, [row.id])
        owners = await self._owners_of(session, {row.user_id})
        return run_document(row, events[row.id], owners[row.user_id])

    async def page(
        self, session: AsyncSession, places: Sequence[RunPlace]
    ) -> list[Document | msgspec.Raw]:
        """Return the documents of these runs, those of finished ones as JSON."""
        if not places:
            return []
        owners = await self._owners_of(session, {place.user_id for place in places})
        # Held here: what is kept below, or by another listing meanwhile, pushes others out.
        held = {place.id: self._finished.get(_key(place)) for place in places}
        wanted = [run_id for run_id, kept in held.items() if kept is None]
        rows = await repository.find_all(session, wanted) if wanted else {}
        events = await repository.events(session, wanted) if wanted else {}
        found: list[Document | msgspec.Raw] = []
        for place in places:
            owner = owners[place.user_id]
            kept = held[place.id]
            row = rows.get(place.id)
            if kept is None and row is not None:
                if not RunStatus(row.status).final:
                    found.append(run_document(row, events[row.id], owner))
                    continue
                kept = self._keep(row, events[row.id])
            if kept is not None:
                found.append(msgspec.Raw(kept + bytes(owner) + b"}"))
        return found

    def _keep(self, row: RunRow, events: Sequence[EventRow]) -> bytes:
        """Return, and keep, the document of a finished run up to its owner."""
        document = run_document(row, events, _NOBODY)
        kept = encode(document).removesuffix(bytes(_NOBODY) + b"}")
        # Another listing may have kept it since this one looked.
        self._kept_bytes += len(kept) - len(self._finished.pop(_key(row), b""))
        self._finished[_key(row)] = kept
        while len(self._finished) > _MAX_KEPT or self._kept_bytes > _MAX_KEPT_BYTES:
            _, oldest = self._finished.popitem(last=False)
            self._kept_bytes -= len(oldest)
        return kept

    async def _owners_of(self, session: AsyncSession, ids: set[str]) -> dict[str, msgspec.Raw]:
        return await self._recent.get(ids, functools.partial(self._read_owners, session))

    async def _read_owners(
        self, session: AsyncSession, ids: Collection[str]
    ) -> dict[str, msgspec.Raw]:
        versions = await accounts.user_versions(session, ids)
        new = [each for each in ids if self._owners.get(each, ((), None))[0] != versions[each]]
        for user in await accounts.users_by_id(session, new) if new else ():
            shown = msgspec.Raw(principal(user).model_dump_json(by_alias=True).encode())
            self._owners[user.id] = (versions[user.id], shown)
        return {each: self._owners[each][1] for each in ids}


def _key(run: RunPlace | RunRow) -> _Key:
    return run.id, run.updated_at
