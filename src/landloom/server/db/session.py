"""The database: one engine, sessions for reading and for writing, migrations at start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, event, make_url, select
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria
from sqlalchemy.sql.base import ExecutableOption

from landloom.server.db import sqlite
from landloom.server.db.base import OfOrganization
from landloom.server.db.postgres import make_engine
from landloom.server.db.sqlite import PromptConnection

_BUSY_MILLISECONDS: Final = 20_000
"""How long SQLite waits for another writer before it gives up."""
_ANSWER_SECONDS: Final = 5.0
_MIGRATIONS: Final = "landloom.server.db:migrations"
_WRITES: Final = "landloom_writes"
_DURABLE: Final = "landloom_durable"
_SYNCHRONOUS: Final = {False: "PRAGMA synchronous=NORMAL", True: "PRAGMA synchronous=FULL"}
"""Of SQLite, by whether a commit is to be durable, which costs it a write to the disk."""
_ORGANIZATION: Final = "organization_id"


class Database:
    """A database and its sessions. No session may stay open across other I/O."""

    def __init__(self, url: str) -> None:
        """Make the engines; the folder of an SQLite file is made too, for its owner only."""
        parsed = make_url(url)
        is_sqlite = parsed.get_backend_name() == "sqlite"
        if is_sqlite and parsed.database:
            Path(parsed.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._engine = _make_sqlite(parsed, sqlite.connect) if is_sqlite else make_engine(parsed)
        self._direct = self._unhurried = self._engine
        if is_sqlite:
            self._direct = _make_sqlite(parsed, sqlite.connect_directly)
            event.listen(self._direct.sync_engine, "connect", _keep_from_writing)
        else:
            self._unhurried = make_engine(parsed, bounded=False)
        # SQLite has one writer at a time and lets the others sleep and try again, whoever is lucky
        # first, each with one of the pool's connections. Here they stand in line, without one.
        self._one_writer = asyncio.Lock() if is_sqlite else None
        self._read = async_sessionmaker(self._engine, expire_on_commit=False)
        self._glance = async_sessionmaker(self._direct, expire_on_commit=False)
        self._write, self._write_durably = (
            async_sessionmaker(
                self._engine.execution_options(**{_WRITES: True, _DURABLE: durable}),
                expire_on_commit=False,
            )
            for durable in (False, True)
        )
        self.answer_seconds = None if is_sqlite else _ANSWER_SECONDS
        """Within that a transaction that a client waits for is done; None is as long as it takes.
        Behind it the connection may be dead: a file always answers."""
        self.commits = 0
        """How often this process has written: what was read before the last time may be old."""

    @asynccontextmanager
    async def reading(self, organization_id: str | None) -> AsyncIterator[AsyncSession]:
        """Open a session that only reads, and only what this organization owns.

        None sees all: for the platform's own work, never for a request's.
        """
        with _told_as_away():
            async with self._read(info={_ORGANIZATION: organization_id}) as session:
                yield session

    @asynccontextmanager
    async def glancing(self, organization_id: str | None) -> AsyncIterator[AsyncSession]:
        """As `reading`, for statements that find a few rows by an index, and for no others.

        SQLite is asked without a change of threads, which costs several times what such an answer
        does; while it answers, the whole server waits.
        """
        with _told_as_away():
            async with self._glance(info={_ORGANIZATION: organization_id}) as session:
                yield session

    @asynccontextmanager
    async def writing(
        self, organization_id: str | None, *, durable: bool = False
    ) -> AsyncIterator[AsyncSession]:
        """Open a session that commits at the end, or rolls all back on an error.

        It changes nothing of other organizations; None is as for `reading`. What is `durable` is
        on the disk when it is committed, and all that was committed before; SQLite otherwise
        leaves that to the system, and a power cut may take the last moments back.
        """
        write = self._write_durably if durable else self._write
        with _told_as_away():
            async with (
                self._one_writer or nullcontext(),
                write(info={_ORGANIZATION: organization_id}) as session,
            ):
                try:
                    async with session.begin():
                        yield session
                finally:
                    # After a failure too: a connection may break when all is committed.
                    self.commits += 1

    async def migrate(self) -> None:
        """Bring the tables to the newest revision."""
        async with self._unhurried.connect() as connection:
            await connection.run_sync(_upgrade)
            await connection.commit()

    async def ping(self) -> None:
        """Ask the database something."""
        async with self._engine.connect() as connection:
            await connection.execute(select(1))

    async def close(self) -> None:
        """Close every connection; those that do not answer end with the process."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.answer_seconds):
                for engine in {self._engine, self._direct, self._unhurried}:
                    await engine.dispose()


@contextmanager
def _told_as_away() -> Iterator[None]:
    """Raise what a database that says nothing comes to as what one comes to that is not there.

    Raises:
        ConnectionError: It did not answer, or did not take a connection, in time.
    """
    try:
        yield
    except TimeoutError as problem:
        raise ConnectionError("The database does not answer.") from problem


@event.listens_for(Session, "do_orm_execute")
def _keep_to_organization(state: ORMExecuteState) -> None:
    """Add the caller's organization to each statement on tables that organizations own."""
    organization_id = state.session.info.get(_ORGANIZATION)
    if organization_id is None or state.is_insert:
        return
    state.statement = state.statement.options(_only(organization_id))


@lru_cache(maxsize=1024)
def _only(organization_id: str) -> ExecutableOption:
    """Return what keeps a statement to an organization; making it costs as much as a statement."""
    return with_loader_criteria(
        OfOrganization,
        lambda table: table.organization_id == organization_id,
        include_aliases=True,
    )


def _make_sqlite(url: URL, connect: Callable[..., PromptConnection]) -> AsyncEngine:
    engine = create_async_engine(
        url, hide_parameters=True, connect_args={"async_creator_fn": connect}
    )
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", _MIGRATIONS)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _set_up_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute(_SYNCHRONOUS[False])
    cursor.execute("PRAGMA foreign_keys=ON")
    # As everywhere else.
    cursor.execute("PRAGMA case_sensitive_like=ON")
    cursor.close()


def _keep_from_writing(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A reader that turns into a writer is refused at once when another wrote meanwhile, whatever
    # the busy timeout is; so whoever means to write takes the lock first.
    options = connection.get_execution_options()
    writes, durable = options.get(_WRITES), options.get(_DURABLE, False)
    if writes and connection.info.get(_DURABLE, False) != durable:
        connection.exec_driver_sql(_SYNCHRONOUS[durable])
        connection.info[_DURABLE] = durable
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
