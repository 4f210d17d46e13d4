"""PostgreSQL's connections: one that says nothing any more is not waited for without end.

A machine that lost its power, or a network that lost its way, closes no connection. The kernel is
told to ask after the other end, and ends what has none; that cuts no statement, however long it
takes. What is alive and still does not answer, a server that hangs or a proxy without one behind
it, is left to the bound on each statement.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from sqlalchemy import URL, ExceptionContext, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_DRIVER: Final = "postgresql+asyncpg"
_CONNECT_SECONDS: Final = 10.0
_STATEMENT_SECONDS: Final = 30.0
"""Far above what any of the server's takes; `?command_timeout=` in the URL says otherwise."""
_KEPT_ALIVE: Final = (
    ("TCP_KEEPIDLE", 10),
    ("TCP_KEEPINTVL", 3),
    ("TCP_KEEPCNT", 3),
    ("TCP_USER_TIMEOUT", 15_000),
)
"""Options of a connection where the kernel has them; the last in milliseconds, the others in
seconds and times."""


def make_engine(url: URL, *, bounded: bool = True) -> AsyncEngine:
    """Return an engine for PostgreSQL, or for another server.

    Args:
        url: Of the database.
        bounded: Whether a statement may take only so long. One that makes tables anew may not.
    """
    # What a statement carries must not show up in an error's text.
    if url.drivername != _DRIVER:
        return create_async_engine(url, hide_parameters=True, pool_pre_ping=True)
    own = {"timeout": _CONNECT_SECONDS, "command_timeout": _STATEMENT_SECONDS if bounded else None}
    engine = create_async_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        connect_args={name: value for name, value in own.items() if name not in url.query},
    )
    event.listen(engine.sync_engine, "connect", _keep_alive)
    event.listen(engine.sync_engine, "handle_error", _part_with_silent)
    return engine


def _keep_alive(connection: Any, _record: object) -> None:
    transport = connection.driver_connection._transport  # noqa: SLF001 - there is no other way
    opened = transport.get_extra_info("socket")
    if opened.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEPT_ALIVE:
        option = getattr(socket, name, None)
        if option is not None:
            opened.setsockopt(socket.IPPROTO_TCP, option, value)


def _part_with_silent(context: ExceptionContext) -> None:
    """Count a statement that ran out of time as the end of its connection, and all of its age."""
    if isinstance(context.original_exception, TimeoutError):
        context.is_disconnect = True
