"""What queries on runs yield: plain columns, read by name at no cost.

The database library's own rows take a microsecond an attribute, which is most of a page.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple


class RunPlace(NamedTuple):
    """The columns of a run that a listing is cut by, and what is told along with them."""

    id: str
    created_at: datetime
    updated_at: str
    user_id: str
    has_others: bool
    """Whether rows lie on the other side of the cursor by which this one was found."""
    total: int | None
    """Of the listing, where the counters tell it."""


class RunRow(NamedTuple):
    """The columns of a run that the API shows; instants as it writes them."""

    id: str
    created_at: str
    updated_at: str
    user_id: str
    name: str
    status: str
    region: str
    resolved_version: str
    payload: str
    """The normalised request as JSON text."""
    started_at: str | None
    completed_at: str | None
    app_id: str | None
    app_status: str | None
    app_created_at: str | None


class Waiting(NamedTuple):
    """A run's place in the queue."""

    id: str
    runtime: str
    position: int
    """1 is the next to start."""


class Busy(NamedTuple):
    """A run that has its room."""

    id: str
    runtime: str


class EventRow(NamedTuple):
    """The columns of an event; instants as the API writes them."""

    id: str
    created_at: str
    updated_at: str
    run_id: str
    code: str
    message: str
    meta: dict[str, Any] | None
