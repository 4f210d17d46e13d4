"""Instants: UTC, to the microsecond, of one width on the wire so that their texts sort.

Within a process they never decrease. Where the wall clock is set back they go on from the last one
at the pace of time, until the wall clock is there as well: what happened later is told as later.
"""

from __future__ import annotations

import re
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer

_DASHED: Final = re.compile(r"(\d{4}-\d{2}-\d{2})-(\d{2}:\d{2}:\d{2})")
"""`YYYY-MM-DD-HH:MM:SS`, as one generation of the public documentation writes it."""
_SPACED_OFFSET: Final = re.compile(r" (\d{2}:?\d{2})$")
"""An offset whose `+` a client forgot to quote in the query."""


class _Clock:
    """The wall clock, but for its steps back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = datetime.min.replace(tzinfo=UTC)
        self._ticks = 0.0

    def now(self) -> datetime:
        with self._lock:
            wall, ticks = datetime.now(UTC), time.monotonic()
            if wall < self._last:
                wall = self._last + timedelta(seconds=ticks - self._ticks)
            self._last, self._ticks = wall, ticks
            return wall


_clock: Final = _Clock()


def now() -> datetime:
    """Return the present instant in UTC; never an earlier one than before."""
    return _clock.now()


def to_wire(instant: datetime) -> str:
    """Write an instant as `YYYY-MM-DDTHH:MM:SS.ffffffZ`, always of this width."""
    utc = instant if instant.tzinfo is UTC else instant.astimezone(UTC)
    return utc.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def from_wire(text: str) -> datetime:
    """Read an instant as clients write it: ISO 8601 with `Z`, an offset or none (UTC), or a date.

    Raises:
        ValueError: It is none of these.
    """
    text = text.strip()
    dashed = _DASHED.fullmatch(text)
    if dashed:
        text = "T".join(dashed.groups())
    try:
        instant = _parse(text)
    except ValueError:
        instant = _parse(_SPACED_OFFSET.sub(r"+\1", text))
    aware = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
    try:
        return aware.astimezone(UTC)
    except OverflowError as problem:
        raise ValueError(f"{text!r} lies outside the calendar") from problem


def _parse(text: str) -> datetime:
    return datetime.fromisoformat(text)


WireInstant = Annotated[
    datetime,
    BeforeValidator(lambda given: from_wire(given) if isinstance(given, str) else given),
]
"""An instant in a request, as clients write it; see `from_wire`."""

WireTime = Annotated[datetime, PlainSerializer(to_wire, return_type=str, when_used="json")]
"""An instant in a response body."""
