from __future__ import annotations

import contextlib
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landloom.errors import BadRequest
from landloom.server.kit.paging import Cursor, Page, Position, Slice, read_page

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)

# Few instants, so that ids have to break ties.
positions = st.builds(
    Position,
    st.integers(0, 6).map(lambda n: EPOCH + timedelta(microseconds=n)),
    st.text("abcdefgh0123", min_size=1, max_size=6),
)
cursors = st.builds(Cursor, positions, st.booleans(), st.booleans())
listings = st.sets(positions, max_size=40).map(
    lambda rows: sorted(rows, key=lambda row: (row.at, row.id), reverse=True)
)


class Listing:
    """Rows in memory, read as a database reads them."""

    def __init__(self, rows: list[Position]) -> None:
        self.rows = rows

    async def fetch(self, cursor: Cursor | None, limit: int) -> Slice[Position]:
        if cursor is None:
            return Slice(self.rows[:limit], has_others=False)
        rows = self.rows[::-1] if cursor.backwards else self.rows
        found = [row for row in rows if self._is_beyond(row, cursor)]
        return Slice(found[:limit], has_others=len(found) < len(rows))

    @staticmethod
    def _is_beyond(row: Position, cursor: Cursor) -> bool:
        here, there = (row.at, row.id), (cursor.position.at, cursor.position.id)
        if here == there:
            return cursor.inclusive
        return here > there if cursor.backwards else here < there

    async def page(self, text: str | None, size: int) -> Page[Position]:
        cursor = Cursor.decode(text) if text else None
        return await read_page(self.fetch, lambda row: row, cursor, size)

    async def pages(self, size: int) -> list[Page[Position]]:
        pages = [await self.page(None, size)]
        while pages[-1].next:
            pages.append(await self.page(pages[-1].next, size))
        return pages


class TestReadPage:
    @given(rows=listings, size=st.integers(1, 50))
    async def test_pages_cover_every_row_once_in_order(
        self, rows: list[Position], size: int
    ) -> None:
        pages = await Listing(rows).pages(size)
        assert [row for page in pages for row in page.items] == rows
        assert all(len(page.items) == size for page in pages[:-1])
        assert pages[0].previous is None
        assert pages[-1].next is None

    @given(rows=listings, size=st.integers(1, 50))
    async def test_previous_is_the_page_before_exactly(
        self, rows: list[Position], size: int
    ) -> None:
        listing = Listing(rows)
        for before, page in itertools.pairwise(await listing.pages(size)):
            back = await listing.page(page.previous, size)
            assert list(back.items) == list(before.items)
            assert (back.previous is None) == (before.previous is None)
            assert back.next == before.next

    @given(rows=listings, size=st.integers(1, 50))
    async def test_current_reads_the_same_page_again(self, rows: list[Position], size: int) -> None:
        listing = Listing(rows)
        for page in await listing.pages(size):
            if not page.items:
                continue
            again = await listing.page(page.current, size)
            assert again == page
            backwards = await listing.page(page.current_backwards, len(page.items))
            assert list(backwards.items) == list(page.items)

    @given(rows=listings, new=st.sets(positions, max_size=10), size=st.integers(1, 10))
    async def test_new_rows_never_shift_a_page(
        self, rows: list[Position], new: set[Position], size: int
    ) -> None:
        first = await Listing(rows).page(None, size)
        newer = sorted(
            {Position(row.at + timedelta(seconds=1), row.id) for row in new},
            key=lambda row: (row.at, row.id),
            reverse=True,
        )
        if first.next is None:
            return
        before = await Listing(rows).page(first.next, size)
        after = await Listing(newer + rows).page(first.next, size)
        assert after.items == before.items

    @given(rows=listings, cursor=cursors, size=st.integers(1, 10))
    async def test_from_any_cursor_the_flags_tell_what_is_there(
        self, rows: list[Position], cursor: Cursor, size: int
    ) -> None:
        listing = Listing(rows)
        page = await listing.page(cursor.encode(), size)
        if page.items:
            assert (page.previous is None) == (page.items[0] == rows[0])
            assert (page.next is None) == (page.items[-1] == rows[-1])
            return
        # Beyond an end: the way back, if there are rows at all, leads to them.
        back = page.next if cursor.backwards else page.previous
        assert (back is None) == (not rows)
        if back is not None:
            assert (await listing.page(back, size)).items

    @given(rows=listings)
    async def test_size_zero_is_empty(self, rows: list[Position]) -> None:
        assert await Listing(rows).page(None, 0) == Page(items=[])


class TestCursor:
    @given(cursors)
    def test_survives_the_wire(self, cursor: Cursor) -> None:
        assert Cursor.decode(cursor.encode()) == cursor

    @given(st.text(max_size=80))
    def test_anything_else_is_a_bad_request(self, text: str) -> None:
        with pytest.raises(BadRequest):
            Cursor.decode(text)

    @pytest.mark.parametrize("row", ["", "\0", "a\0", "A", "a" * 33, "%", "a\n"])
    def test_a_row_of_no_ones_id_is_a_bad_request(self, row: str) -> None:
        with pytest.raises(BadRequest):
            Cursor.decode(Cursor(Position(EPOCH, row)).encode())

    @given(cursor=cursors, place=st.integers(0, 200), letter=st.sampled_from("AZaz09-_=é"))
    def test_a_changed_one_is_a_bad_request(self, cursor: Cursor, place: int, letter: str) -> None:
        text = cursor.encode()
        place %= len(text)
        changed = text[:place] + letter + text[place + 1 :]
        if changed == text:
            return
        with contextlib.suppress(BadRequest):
            # The last letter may carry bits that base64 does not use.
            assert Cursor.decode(changed) == cursor
