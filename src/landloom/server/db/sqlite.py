"""SQLite's connections: one hop to a thread a statement, or none at all.

SQLite is asked from a thread of the connection's own, because an answer may take its time. Each
errand to that thread costs two switches of threads, which is more than most answers do, and on a
busy server the interpreter lets the loop keep its lock for milliseconds before it lets the thread
have it. The driver runs four errands a statement (make a cursor, execute, fetch, close);
`PromptConnection` does them in one, and `DirectConnection` asks from the loop's own thread: for
statements that find a few rows by an index, which takes less than the way to any thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Self

import aiosqlite


def connect(database: str, **options: Any) -> PromptConnection:
    """Return a connection to be awaited; SQLAlchemy calls this as its `async_creator_fn`."""
    connection = PromptConnection(_opener(database, options), iter_chunk_size=_UNUSED)
    # A connection that nobody closed must not keep the process alive.
    connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does where it connects itself
    return connection


def connect_directly(database: str, **options: Any) -> DirectConnection:
    """As `connect`, for statements whose answers take no time to speak of."""
    return DirectConnection(_opener(database, options), iter_chunk_size=_UNUSED)


_UNUSED = 64


def _opener(database: str, options: dict[str, Any]) -> Callable[[], sqlite3.Connection]:
    # The driver's own way of opening transactions is switched off; `Database` opens them.
    return lambda: sqlite3.connect(database, **options, isolation_level=None)


class PromptConnection(aiosqlite.Connection):
    """A connection whose cursors bring all rows along at once."""

    def cursor(self) -> PromptCursor:  # type: ignore[override]
        """Return a cursor; nothing is asked of the thread yet."""
        return PromptCursor(self)


class DirectConnection(PromptConnection):
    """A connection that is asked in the calling thread; its own is never started."""

    def __await__(self) -> Generator[Any, None, Self]:
        """Open the file, in no time."""
        self._connection = self._connector()
        yield from ()  # A generator that never waits.
        return self

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    def stop(self) -> None:
        """Close the file; there is no thread to be ended."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PromptCursor:
    """What SQLAlchemy needs of a cursor. It holds no cursor of SQLite's between two calls."""

    def __init__(self, connection: PromptConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Iterable[Any] = ()) -> Self:
        """Carry out a statement and fetch all that it yields."""
        await self._connection._execute(self._run, statement, parameters, False)  # type: ignore[no-untyped-call]  # noqa: SLF001
        return self

    async def executemany(self, statement: str, parameters: Sequence[Iterable[Any]]) -> Self:
        """Carry out a statement for each of many sets of parameters."""
        await self._connection._execute(self._run, statement, parameters, True)  # type: ignore[no-untyped-call]  # noqa: SLF001
        return self

    async def fetchall(self) -> list[Any]:
        """Return the rows; they are here already."""
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """Forget the rows."""
        self._rows = []

    def _run(self, statement: str, parameters: Any, many: bool) -> None:  # noqa: FBT001
        """Be called in the connection's thread."""
        database = self._connection._conn  # noqa: SLF001
        call = database.executemany if many else database.execute
        cursor = call(statement, parameters)
        try:
            self.description = cursor.description
            self._rows = cursor.fetchall() if cursor.description else []
            self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid
        finally:
            cursor.close()
