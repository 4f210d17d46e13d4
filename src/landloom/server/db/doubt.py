"""Transactions of which it may be in doubt whether they were committed.

A connection that breaks while a commit is on its way leaves no answer, though the rows may be
stored. Who is told then that it failed, tries anew, and has two. So the same rows are stored again,
under the same ids: they are either found, or get there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy.exc import DBAPIError, IntegrityError

_SECONDS: Final = 10.0
"""For so long a database that went away is waited for; clients wait longer for an answer."""
_PAUSE_SECONDS: Final = 0.2


async def without_doubt[T](store: Callable[[bool], Awaitable[T]]) -> T:
    """Do `store`, a transaction, and again while its connection breaks.

    Args:
        store: Is told whether it is called again; then its rows may be there already, and it is to
            look for them first.

    Raises:
        DBAPIError: The database refused, or was away for too long.
        OSError: There is no way to the database.
    """
    give_up = time.monotonic() + _SECONDS
    again = False
    while True:
        try:
            return await store(again)
        except (DBAPIError, OSError) as problem:
            if time.monotonic() > give_up or not _in_doubt(problem, again=again):
                raise
        again = True
        await asyncio.sleep(_PAUSE_SECONDS)


def _in_doubt(problem: DBAPIError | OSError, *, again: bool) -> bool:
    if isinstance(problem, DBAPIError) and problem.connection_invalidated:
        return True
    # What was in doubt may come to light between the look for it and the second storing.
    return again and isinstance(problem, OSError | IntegrityError)
