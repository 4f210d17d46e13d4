"""Keyset pages: a cursor is a position in the listing, so new rows never shift a page.

Rows are listed newest first, by (instant, id) descending; ids break ties.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from landloom.errors import BadRequest

_HEAD: Final = struct.Struct(">BBq")
"""Format, flags, microseconds since 1970."""
_SUM: Final = struct.Struct(">I")
_FORMAT: Final = 1
_BACKWARDS: Final = 1
_INCLUSIVE: Final = 2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_ID: Final = re.compile(r"[a-z0-9]{1,32}")
"""What `new_id` makes; a database asked for anything else may fail on it."""


@dataclass(frozen=True, slots=True)
class Position:
    """The place of one row in the listing."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins, and which way it goes."""

    position: Position
    backwards: bool = False
    """Towards newer rows."""
    inclusive: bool = False
    """Whether the row at the position belongs to the page."""

    def encode(self) -> str:
        """Return the cursor as opaque text, safe in a URL."""
        flags = _BACKWARDS * self.backwards | _INCLUSIVE * self.inclusive
        micros = (self.position.at - _EPOCH) // _MICROSECOND
        body = _HEAD.pack(_FORMAT, flags, micros) + self.position.id.encode()
        return base64.urlsafe_b64encode(body + _SUM.pack(zlib.crc32(body))).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read a cursor.

        Raises:
            BadRequest: It is not one that `encode` made.
        """
        try:
            body = base64.b64decode(
                text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
            )
            payload, check = body[: -_SUM.size], _SUM.unpack(body[-_SUM.size :])[0]
            form, flags, micros = _HEAD.unpack(payload[: _HEAD.size])
            position = Position(
                _EPOCH + micros * _MICROSECOND, payload[_HEAD.size :].decode("ascii")
            )
        except (binascii.Error, struct.error, UnicodeError, OverflowError) as problem:
            raise _broken() from problem
        is_sound = form == _FORMAT and check == zlib.crc32(payload)
        if not is_sound or flags > _BACKWARDS | _INCLUSIVE or not _ID.fullmatch(position.id):
            raise _broken()
        return cls(position, bool(flags & _BACKWARDS), bool(flags & _INCLUSIVE))


@dataclass(frozen=True, slots=True)
class Page[T]:
    """One page of a listing, newest row first, with the cursors around it."""

    items: Sequence[T]
    current: str | None = None
    current_backwards: str | None = None
    previous: str | None = None
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Slice[T]:
    """Rows from a cursor on, in its direction, nearest first."""

    rows: Sequence[T]
    has_others: bool
    """Whether rows lie on the other side of the cursor; not told where `rows` is empty."""


type Fetch[T] = Callable[[Cursor | None, int], Awaitable[Slice[T]]]
"""Returns up to so many rows from the cursor on; None is before the newest row."""


async def read_page[T](
    fetch: Fetch[T], place: Callable[[T], Position], cursor: Cursor | None, size: int
) -> Page[T]:
    """Return the page of up to `size` rows at `cursor`, None being the newest row.

    `previous` and `next` are there exactly when such rows exist.
    """
    if size == 0:
        return Page(items=[])
    found = await fetch(cursor, size + 1)
    more, rows = len(found.rows) > size, list(found.rows[:size])
    if not rows:
        return await _empty_page(fetch, cursor)
    backwards = cursor is not None and cursor.backwards
    if backwards:
        rows.reverse()
    first, last = place(rows[0]), place(rows[-1])
    before, after = Cursor(first, backwards=True), Cursor(last)
    has_previous, has_next = (more, found.has_others) if backwards else (found.has_others, more)
    return Page(
        items=rows,
        current=Cursor(first, inclusive=True).encode(),
        current_backwards=Cursor(last, backwards=True, inclusive=True).encode(),
        previous=before.encode() if has_previous else None,
        next=after.encode() if has_next else None,
    )


async def _empty_page[T](fetch: Fetch[T], cursor: Cursor | None) -> Page[T]:
    """Return a page beyond an end of the listing; the way back starts at the cursor's own row."""
    if cursor is None:
        return Page(items=[])
    back = Cursor(cursor.position, backwards=not cursor.backwards, inclusive=not cursor.inclusive)
    there = back.encode() if (await fetch(back, 1)).rows else None
    return Page(
        items=[],
        current=cursor.encode(),
        current_backwards=cursor.encode(),
        previous=None if cursor.backwards else there,
        next=there if cursor.backwards else None,
    )


def _broken() -> BadRequest:
    return BadRequest(
        "The cursor is not one that this listing gave out.",
        suggestion="Pass next_page or previous_page of an earlier answer, or leave cursor away.",
    )
