import json

from hypothesis import given
from hypothesis import strategies as st

from landloom.runner.frames import WHOLE, Frame, Receiver, Sender, encode

frames = st.builds(
    Frame,
    name=st.sampled_from(["log", "usage"]),
    offset=st.integers(min_value=-1, max_value=1 << 40),
    data=st.binary(max_size=60_000),
)


class TestFrames:
    @given(st.lists(frames, max_size=4), st.data())
    def test_come_back_however_the_stream_is_cut(self, sent, data):
        text = b"Runtime env is setting up.\n" + b"".join(map(encode, sent))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
        receiver = Receiver()
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        got = [frame for piece in pieces for frame in receiver.feed(piece.decode())]
        assert got == sent
        assert receiver.others == ["Runtime env is setting up."]

    def test_no_line_is_too_long_for_ray(self):
        block = bytes(range(256)) * 1024
        assert max(map(len, encode(Frame("log", 0, block)).splitlines())) < 20_000

    def test_a_forged_one_is_passed_over(self):
        receiver = Receiver()
        forged = "@landloom log 0 0 !!!\n@landloom log x\n@landloom log 0 0 QUJD\n"
        good = encode(Frame("log", 0, b"1 a\n")).decode()
        assert list(receiver.feed(forged + good)) == [Frame("log", 0, b"1 a\n")]


class TestSender:
    def test_sends_what_is_new_in_whole_lines(self, tmp_path):
        sent = []
        sender = Sender(tmp_path, sent.append, growing=("log",), whole=("runner.json",))
        receiver = Receiver()

        def received():
            sender.send()
            text = b"".join(sent).decode()
            sent.clear()
            return list(receiver.feed(text))

        assert received() == []
        log = tmp_path / "log"
        log.write_bytes(b"1 a\n2 b")
        assert received() == [Frame("log", 0, b"1 a\n")]
        log.write_bytes(b"1 a\n2 bc\n3 \xff\r\n")
        assert received() == [Frame("log", 4, b"2 bc\n3 \xff\r\n")]
        (tmp_path / "runner.json").write_text(json.dumps({"pid": 1}))
        assert received() == [Frame("runner.json", WHOLE, b'{"pid": 1}')]
        assert received() == []

    def test_sends_a_long_file_in_blocks(self, tmp_path):
        content = b"".join(b"%d %s\n" % (n, b"x" * 1000) for n in range(2000))
        (tmp_path / "log").write_bytes(content)
        sent = []
        Sender(tmp_path, sent.append, growing=("log",), whole=()).send()
        got = list(Receiver().feed(b"".join(sent).decode()))
        assert b"".join(frame.data for frame in got) == content
        assert [frame.offset for frame in got][:2] == [0, len(got[0].data)]
