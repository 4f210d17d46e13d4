"""What the database answered a moment ago."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

from landloom.server.db.session import Database

SECONDS: Final = 1.0
"""For so long at most an answer stands in for a new one."""
_MAX_KEPT: Final = 10_000


class Recent[Key, Value]:
    """Answers that are given again for a moment, for what every request asks.

    An answer stands until this process writes anything at all, whatever it is about, and for
    `SECONDS` at most: what this process changes shows at once, what another one that shares the
    database changes shows within that time. That something is not there is never remembered.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: dict[Key, tuple[float, Value]] = {}
        self._commits = database.commits

    async def get(
        self,
        keys: Collection[Key],
        ask: Callable[[Collection[Key]], Awaitable[Mapping[Key, Value]]],
    ) -> dict[Key, Value]:
        """Return what there is for each of these keys; `ask` is called for those not kept."""
        began, commits = time.monotonic(), self._database.commits
        if commits != self._commits or len(self._kept) > _MAX_KEPT:
            self._kept.clear()
            self._commits = commits
        found = {
            key: kept[1]
            for key in keys
            if (kept := self._kept.get(key)) is not None and began < kept[0] + SECONDS
        }
        missing = [key for key in keys if key not in found]
        if missing:
            new = await ask(missing)
            found.update(new)
            # If something was written meanwhile, these may be of before.
            if self._database.commits == commits == self._commits:
                self._kept.update((key, (began, value)) for key, value in new.items())
        return found
