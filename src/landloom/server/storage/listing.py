"""Pages of a folder: what clients get of what a store lists."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

import msgspec

from landloom.errors import BadRequest
from landloom.server.storage.answers import Listing
from landloom.server.storage.names import last_name
from landloom.server.storage.places import Source
from landloom.server.storage.schemas import FileEntry, FileEntryType

_SUM_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder in a source, there or not."""

    source: Source
    key: str
    """The whole key in the bucket; a folder's ends with `/` or is empty."""
    origin: str
    """What the paths of entries are told from: a prefix of keys, or of `bucket/key`."""

    def path(self, key: str) -> str:
        """Return a key of this source as the client that named this place names it."""
        return f"{self.source.bucket}/{key}".removeprefix(self.origin)


@dataclass(frozen=True, slots=True)
class FolderPage:
    """Some of a folder's entries."""

    entries: list[FileEntry]
    next: str | None
    """Cursor of the next page; None on the last one."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins: at what the store continues by, behind an entry that was shown."""

    token: str | None = None
    """None is the beginning."""
    shown: str | None = None
    """Path of the last entry shown of those that the store lists from there; None is none.

    Stores may list more than they were asked for: SeaweedFS counts `p` and `p/` as one.
    """

    def behind(self, entries: Iterable[FileEntry]) -> list[FileEntry]:
        """Return the entries that were not shown yet, by path."""
        found = sorted(entries, key=lambda entry: entry.path)
        return [each for each in found if self.shown is None or each.path > self.shown]

    def encode(self) -> str:
        """Return the position as opaque text, safe in a URL."""
        body = msgspec.json.encode((self.token, self.shown))
        check = zlib.crc32(body).to_bytes(_SUM_BYTES)
        return base64.urlsafe_b64encode(body + check).rstrip(b"=").decode()

    @classmethod
    def decode(cls, cursor: str) -> Self:
        """Read a position.

        Raises:
            BadRequest: It is not one that `encode` made.
        """
        try:
            whole = base64.b64decode(
                cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True
            )
            body, check = whole[:-_SUM_BYTES], whole[-_SUM_BYTES:]
            if check == zlib.crc32(body).to_bytes(_SUM_BYTES):
                return cls(*msgspec.json.decode(body, type=tuple[str | None, str | None]))
        except (binascii.Error, UnicodeError, msgspec.DecodeError):
            pass
        raise BadRequest(
            "The cursor is not one that this listing gave out.",
            suggestion="Pass next_page of an earlier answer, or leave cursor away.",
        )


def entries_of(listing: Listing, place: Place) -> Iterator[FileEntry]:
    """Yield a folder's entries; the empty object that is the folder itself is none of them."""
    source = place.source
    for prefix in listing.folders:
        yield FileEntry(
            name=last_name(prefix),
            path=place.path(prefix),
            type=FileEntryType.FOLDER,
            protected=source.protection(prefix).mutate,
        )
    # All of them lie in one folder, so that one answer is that of all.
    protected = source.protection(f"{place.key}any").mutate
    for each in listing.objects:
        if each.key != place.key:
            yield FileEntry(
                name=last_name(each.key),
                path=place.path(each.key),
                type=FileEntryType.FILE,
                last_modified=each.modified_at,
                size=each.size,
                protected=protected,
            )
