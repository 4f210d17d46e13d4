import os

import pytest
from tests.contract.logstore import LogStoreContract

from landloom.runner.folder import INDEX, LOG
from landloom.runner.log import LogWriter
from landloom.server.logs.file import FileLogStore


class TestFileLogStore(LogStoreContract):
    @pytest.fixture
    def store(self):
        return FileLogStore()

    @pytest.mark.parametrize("index", [b"", b"\0" * 8, b"\0" * 8 + b"\xff" * 8, b"\0" * 11])
    async def test_an_index_that_lags_or_lies_costs_time_not_lines(
        self, store, writer, tmp_path, index
    ):
        writer.write(b"".join(b"line %d\n" % n for n in range(3500)))
        (tmp_path / INDEX).write_bytes(index)
        assert await self.raw(store, tmp_path, 3400, 10) == [f"line {n}" for n in range(3400, 3410)]

    async def test_a_log_without_an_index_is_read(self, store, writer, tmp_path):
        writer.write(b"a\nb\n")
        (tmp_path / INDEX).unlink()
        assert await self.raw(store, tmp_path, 1) == ["b"]

    async def test_a_line_torn_by_a_kill_is_not_shown(self, store, writer, tmp_path):
        writer.write(b"whole\n")
        with (tmp_path / LOG).open("ab") as log:
            log.write(b"17000000")
        assert await self.raw(store, tmp_path) == ["whole"]

    async def test_a_page_of_a_long_log_reads_little_at_any_depth(
        self, store, tmp_path, monkeypatch
    ):
        writer = LogWriter(tmp_path)
        for start in range(0, 1_000_000, 10_000):
            writer.write(b"".join(b"line %079d\n" % n for n in range(start, start + 10_000)))
        writer.close()
        pread, read = os.pread, []

        def counted(descriptor, length, offset):
            data = pread(descriptor, length, offset)
            read.append(len(data))
            return data

        monkeypatch.setattr(os, "pread", counted)
        for cursor in [0, 999, 123_456, 500_000, 999_899]:
            read.clear()
            page = await store.read(tmp_path, cursor=cursor, size=100)
            assert page[0].raw == f"line {cursor:079d}"
            assert len(page) == 100
            # One stretch of the index at most, of a log of a hundred million bytes.
            assert sum(read) < 1_000_000
