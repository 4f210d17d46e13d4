"""Telling a database that is away from one that refuses."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError


def is_away(problem: Exception) -> bool:
    """Tell whether what was raised says that the database cannot be asked now, and may be later.

    One that is just starting, or ending, says so in an error that the driver gives no kind.
    """
    if isinstance(problem, DBAPIError):
        kinds = type(problem) is DBAPIError or isinstance(
            problem, InterfaceError | OperationalError
        )
        return problem.connection_invalidated or kinds
    return isinstance(problem, ConnectionError)
