"""What the commands share that ask a platform: the way to it, the one that is meant, JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from landloom.cli.client import ApiClient

KEY_DAYS: Final = 90
"""How long a key opens the platform where nobody says otherwise."""


def connected(connection: Path | None, data: Path | None) -> ApiClient:
    """Return a client of the platform that a connection file, a data folder, or nothing names."""
    from landloom.cli.client import ApiClient
    from landloom.cli.connection import Connection

    return ApiClient(Connection.find(connection, data))


def key_end(days: int) -> datetime:
    """Return when a key ends that is made now."""
    from datetime import UTC, datetime, timedelta

    return datetime.now(UTC) + timedelta(days=days)


def the_one(
    entries: Sequence[dict[str, Any]],
    wanted: str,
    fields: Sequence[str],
    *,
    none: tuple[str, str],
    alike: Callable[[str], str] = str,
) -> dict[str, Any]:
    """Return the one entry that has `wanted` in the first of these fields in which any has it.

    Args:
        entries: What was listed.
        wanted: An id, or a name.
        fields: In which to look, in this order.
        none: What to say where there is none, and the way out.
        alike: What makes two spellings one.

    Raises:
        NotFound: There is none, or more than one.
    """
    from landloom.errors import NotFound

    for field in fields:
        found = [each for each in entries if alike(each[field] or "") == alike(wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(each["id"] for each in found)
            raise NotFound(
                f"There are {len(found)} by the name {wanted!r}.", suggestion=f"Say {ids}."
            )
    message, suggestion = none
    raise NotFound(message, suggestion=suggestion)


def print_json(found: Any) -> None:
    """Print what was found as JSON."""
    import json

    typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
