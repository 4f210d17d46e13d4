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


async def without_doubt[T](
    store: Callable[[bool], Awaitable[T]], *, try_seconds: float | None = None
) -> T:
    """Do `store`, a transaction, and again while its connection breaks, or says nothing.

    Args:
        store: Is told whether it is called again; then its rows may be there already, and it is to
            look for them first.
        try_seconds: How long it may take each time; None is as long as it needs.

    Raises:
        InDoubt: The database was away for too long.
        SQLAlchemyError: It refused at once.
        OSError: There is no way to the database, and there was none to begin with.
    """
    give_up = time.monotonic() + _SECONDS
    try:
        return await _in_time(store, False, try_seconds)
    except _TooLate:
        pass
    except DBAPIError as problem:
        if not problem.connection_invalidated:
            raise
    while True:
        await asyncio.sleep(_PAUSE_SECONDS)
        left = max(give_up - time.monotonic(), _PAUSE_SECONDS)
        try:
            return await _in_time(store, True, try_seconds and min(try_seconds, left))
        # Whatever it says: that it is just starting, that rows came to light between the look for
        # them and the second storing.
        except (SQLAlchemyError, OSError, _TooLate) as problem:
            if time.monotonic() > give_up:
                raise InDoubt from problem


class _TooLate(Exception):
    """There was no answer in time."""


async def _in_time[T](
    store: Callable[[bool], Awaitable[T]],
    again: bool,  # noqa: FBT001 - as it is passed on
    seconds: float | None,
) -> T:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await store(again)
    except Exception as problem:
        # Whatever a transaction comes to that is broken off.
        if limit.expired():
            raise _TooLate from problem
        raise
