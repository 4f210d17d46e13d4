import resource
import signal
import struct
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landloom.runner.folder import INDEX, LOG
from landloom.runner.log import LINE_LIMIT, STRIDE, LogWriter


def raw(directory):
    lines = (directory / LOG).read_bytes().split(b"\n")
    assert lines.pop() == b""
    return [line.partition(b" ")[2] for line in lines]


def index(directory):
    return [value for (value,) in struct.iter_unpack("<Q", (directory / INDEX).read_bytes())]


def offsets(directory):
    """Where every line starts, found without the index."""
    data = (directory / LOG).read_bytes()
    starts = [0]
    while (end := data.find(b"\n", starts[-1])) >= 0:
        starts.append(end + 1)
    return starts[:-1]


def write(directory, *pieces):
    writer = LogWriter(directory)
    for piece in pieces:
        writer.write(piece)
    writer.close()
    return writer


class TestLines:
    def test_are_whole_whatever_pieces_they_come_in(self, tmp_path):
        write(tmp_path, b"on", b"e\ntw", b"o", b"\n\nfour\n")
        assert raw(tmp_path) == [b"one", b"two", b"", b"four"]

    def test_an_unfinished_last_line_is_kept_at_the_end(self, tmp_path):
        assert write(tmp_path, b"a\nrest").lines == 2
        assert raw(tmp_path) == [b"a", b"rest"]

    def test_carriage_returns_before_newlines_go_and_others_stay(self, tmp_path):
        write(tmp_path, b"a\r", b"\nb\rc\r\n", b"d\r")
        assert raw(tmp_path) == [b"a", b"b\rc", b"d"]

    def test_broken_bytes_are_replaced_and_take_no_newline_with_them(self, tmp_path):
        write(tmp_path, b"\xff\xfe\n\xe2\x82\nok \xf0\x9f\n")
        assert [line.decode() for line in raw(tmp_path)] == ["\ufffd\ufffd", "\ufffd", "ok \ufffd"]

    def test_a_character_cut_between_two_pieces_is_whole(self, tmp_path):
        euro = "€".encode()
        write(tmp_path, euro[:1], euro[1:] + b"\n")
        assert raw(tmp_path) == [euro]

    @pytest.mark.parametrize("size", [LINE_LIMIT, LINE_LIMIT + 1, 3 * LINE_LIMIT + 5])
    @pytest.mark.parametrize("pieces", [1, 7])
    def test_long_ones_are_split_and_nothing_of_them_is_lost(self, tmp_path, size, pieces):
        text = b"x" * size + b"\n"
        step = -(-len(text) // pieces)
        write(tmp_path, *(text[at : at + step] for at in range(0, len(text), step)), b"next\n")
        *parts, last = raw(tmp_path)
        assert b"".join(parts) == text[:-1]
        assert last == b"next"
        assert max(map(len, parts)) <= LINE_LIMIT
        assert len(parts) == -(-size // LINE_LIMIT)

    def test_long_ones_are_split_between_characters(self, tmp_path):
        text = "a" + "€" * LINE_LIMIT
        write(tmp_path, text.encode() + b"\n")
        assert "".join(line.decode() for line in raw(tmp_path)) == text

    def test_an_endless_line_appears_before_it_ends(self, tmp_path):
        writer = LogWriter(tmp_path)
        writer.write(b"x" * (LINE_LIMIT + 10))
        assert raw(tmp_path) == [b"x" * LINE_LIMIT]
        writer.close()

    @settings(max_examples=60, deadline=None)
    @given(pieces=st.lists(st.binary(max_size=40) | st.just(b"\n") | st.just(b"\r\n")))
    def test_any_bytes_in_any_pieces_give_the_same_lines(self, tmp_path_factory, pieces):
        apart, together = tmp_path_factory.mktemp("apart"), tmp_path_factory.mktemp("together")
        write(apart, *pieces)
        write(together, b"".join(pieces))
        assert raw(apart) == raw(together)
        for line in raw(apart):
            line.decode()


class TestIndex:
    @pytest.mark.parametrize("lines", [0, 1, STRIDE - 1, STRIDE, STRIDE + 1, 3 * STRIDE + 1])
    @pytest.mark.parametrize("batch", [1, 7, STRIDE, 10_000])
    def test_has_the_offset_of_every_thousandth_line(self, tmp_path, lines, batch):
        text = [b"line %d\n" % n for n in range(lines)]
        write(tmp_path, *(b"".join(text[at : at + batch]) for at in range(0, lines, batch)))
        assert index(tmp_path) == offsets(tmp_path)[::STRIDE]

    @pytest.mark.parametrize("kept", [0, 1, 2, 3])
    def test_goes_on_after_a_kill_that_left_it_behind(self, tmp_path, kept):
        write(tmp_path, b"x\n" * (2 * STRIDE + 7))
        entries = (tmp_path / INDEX).read_bytes()
        (tmp_path / INDEX).write_bytes(entries[: 8 * kept] + entries[:3])
        writer = write(tmp_path, b"y\n" * STRIDE)
        assert writer.lines == 3 * STRIDE + 7
        assert index(tmp_path) == offsets(tmp_path)[::STRIDE]

    def test_never_points_beyond_a_log_that_lost_its_end(self, tmp_path):
        write(tmp_path, b"x\n" * (2 * STRIDE + 7))
        log = (tmp_path / LOG).read_bytes()
        (tmp_path / LOG).write_bytes(log[: offsets(tmp_path)[STRIDE - 5] + 3])
        assert write(tmp_path, b"y\n" * 20).lines == STRIDE + 15
        assert index(tmp_path) == offsets(tmp_path)[::STRIDE]


class TestReopening:
    def test_drops_a_line_torn_by_a_kill(self, tmp_path):
        write(tmp_path, b"a\n")
        with (tmp_path / LOG).open("ab") as log:
            log.write(b"1700000000000 tor")
        write(tmp_path, b"b\n")
        assert raw(tmp_path) == [b"a", b"b"]

    def test_times_never_go_back(self, tmp_path):
        (tmp_path / LOG).write_bytes(b"9999999999999 from the future\n")
        write(tmp_path, b"now\n")
        assert (tmp_path / LOG).read_bytes().splitlines()[1] == b"9999999999999 now"

    def test_only_one_writes_at_a_time(self, tmp_path):
        writer = LogWriter(tmp_path)
        with pytest.raises(BlockingIOError):
            LogWriter(tmp_path, wait=False)
        writer.close()
        LogWriter(tmp_path, wait=False).close()


@contextmanager
def files_of_at_most(size):
    """Let files grow to so many bytes only: the kernel refuses the rest as if it were full.

    Only around the writing itself: the test run's own output may go to a longer file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


class TestFullDisk:
    def test_loses_lines_counts_them_and_tears_none(self, tmp_path):
        writer = LogWriter(tmp_path)
        writer.write(b"kept\n")
        with files_of_at_most(60):
            writer.write(b"lost %080d\n" % 1)
            writer.write(b"lost %080d\nlost too\n" % 2)
        assert (writer.lines, writer.lost) == (1, 3)
        assert writer.error
        assert raw(tmp_path) == [b"kept"]
        with files_of_at_most(60):
            writer.close()

    def test_says_so_once_there_is_room_again(self, tmp_path):
        writer = LogWriter(tmp_path)
        with files_of_at_most(10):
            writer.write(b"lost\nlost\n")
        writer.write(b"back\n")
        writer.close()
        first, second = raw(tmp_path)
        assert first.startswith(b"[landloom] 2 lines could not be written here: ")
        assert second == b"back"
        assert (writer.lines, writer.lost) == (2, 2)
