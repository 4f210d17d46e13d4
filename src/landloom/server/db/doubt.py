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

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

_SECONDS: Final = 10.0
"""For so long a database that went away is waited for; clients wait longer for an answer."""
_PAUSE_SECONDS: Final = 0.2


class InDoubt(Exception):
    """A connection broke, and the database has been away since; its cause is what it said last."""


async def without_doubt[T](store: Callable[[bool], Awaitable[T]]) -> T:
    """Do `store`, a transaction, and again while its connection breaks.

    Args:
        store: Is told whether it is called again; then its rows may be there already, and it is to
            look for them first.

    Raises:
        InDoubt: The database was away for too long.
        SQLAlchemyError: It refused at once.
        OSError: There is no way to the database, and there was none to begin with.
    """
    give_up = time.monotonic() + _SECONDS
    try:
        return await store(False)
    except DBAPIError as problem:
        if not problem.connection_invalidated:
            raise
    while True:
        await asyncio.sleep(_PAUSE_SECONDS)
        try:
            return await store(True)
        # Whatever it says: that it is just starting, that rows came to light between the look for
        # them and the second storing.
        except (SQLAlchemyError, OSError) as problem:
            if time.monotonic() > give_up:
                raise InDoubt from problem
