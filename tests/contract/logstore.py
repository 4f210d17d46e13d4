"""What every log store must do: inherit `LogStoreContract` and give it a `store` fixture.

The lines are written by the runner's own writer, as they are in life.
"""

import time

import pytest

from landloom.errors import Conflict
from landloom.runner.log import LogWriter
from landloom.server.logs.base import LogStore


class LogStoreContract:
    @pytest.fixture
    def store(self) -> LogStore:
        raise NotImplementedError

    @pytest.fixture
    def writer(self, tmp_path):
        writer = LogWriter(tmp_path)
        yield writer
        writer.close()

    async def raw(self, store, directory, cursor=0, size=1000):
        return [line.raw for line in await store.read(directory, cursor=cursor, size=size)]

    async def test_nothing_was_ever_written(self, store, tmp_path):
        assert await self.raw(store, tmp_path / "absent") == []
        assert await self.raw(store, tmp_path) == []

    async def test_gives_lines_in_order_with_times_in_milliseconds(self, store, writer, tmp_path):
        before = time.time_ns() // 1_000_000
        writer.write(b"one\ntwo\n")
        writer.write(b"three\n")
        lines = await store.read(tmp_path, cursor=0, size=10)
        assert [line.raw for line in lines] == ["one", "two", "three"]
        times = [line.timestamp for line in lines]
        assert before <= times[0]
        assert times == sorted(times)
        assert times[-1] <= time.time_ns() // 1_000_000

    async def test_half_a_line_is_not_visible_until_it_is_whole(self, store, writer, tmp_path):
        writer.write(b"whole\nha")
        assert await self.raw(store, tmp_path) == ["whole"]
        writer.write(b"lf\n")
        assert await self.raw(store, tmp_path) == ["whole", "half"]

    @pytest.mark.parametrize("cursor", [0, 1, 999, 1000, 1001, 1999, 2000, 2499])
    @pytest.mark.parametrize("size", [1, 100, 1500])
    async def test_any_page_starts_at_its_cursor(self, store, writer, tmp_path, cursor, size):
        writer.write(b"".join(b"line %d\n" % n for n in range(2500)))
        expected = [f"line {n}" for n in range(cursor, min(2500, cursor + size))]
        assert await self.raw(store, tmp_path, cursor, size) == expected

    @pytest.mark.parametrize("cursor", [3, 4, 999, 1000, 10**12])
    async def test_a_cursor_at_or_beyond_the_end_gives_nothing(
        self, store, writer, tmp_path, cursor
    ):
        writer.write(b"a\nb\nc\n")
        assert await self.raw(store, tmp_path, cursor) == []

    async def test_no_size_gives_nothing(self, store, writer, tmp_path):
        writer.write(b"a\n")
        assert await self.raw(store, tmp_path, 0, 0) == []

    async def test_lines_are_never_interpreted(self, store, writer, tmp_path):
        text = "  {json} \\n \x1b[31m \x00 17 héé 日本 \r mid  "
        writer.write(text.encode() + b"\n\n")
        assert await self.raw(store, tmp_path) == [text, ""]

    async def test_pages_follow_a_growing_log_without_gap_or_repeat(self, store, writer, tmp_path):
        seen = []
        for start in range(0, 5000, 500):
            writer.write(b"".join(b"line %d\n" % n for n in range(start, start + 500)))
            while page := await self.raw(store, tmp_path, len(seen), 333):
                seen += page
        assert seen == [f"line {n}" for n in range(5000)]

    async def test_appends_before_and_after_the_script(self, store, tmp_path):
        await store.append(tmp_path, ["installing", "installed"])
        writer = LogWriter(tmp_path)
        writer.write(b"script\n")
        writer.close()
        await store.append(tmp_path, ["ended\nin two lines"])
        lines = await store.read(tmp_path, cursor=0, size=10)
        assert [line.raw for line in lines] == [
            *("installing", "installed", "script", "ended", "in two lines")
        ]
        times = [line.timestamp for line in lines]
        assert times == sorted(times)

    async def test_append_makes_the_folder(self, store, tmp_path):
        await store.append(tmp_path / "new", ["line"])
        assert await self.raw(store, tmp_path / "new") == ["line"]

    async def test_append_refuses_while_the_script_writes(self, store, writer, tmp_path):
        writer.write(b"a\n")
        with pytest.raises(Conflict):
            await store.append(tmp_path, ["b"])
        assert await self.raw(store, tmp_path) == ["a"]
