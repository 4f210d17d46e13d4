"""Copying a job's files: begun anew at any moment, nothing is lost, doubled or out of order."""

import json
from dataclasses import asdict

import pytest

from landloom.runner import folder
from landloom.runner.frames import WHOLE, Frame, encode
from landloom.runner.log import LogWriter
from landloom.runner.usage import USAGE
from landloom.server.launchers.ray_follow import Copy
from landloom.server.launchers.ray_record import JobRecord, write_job

LOG = [f"{1_800_000_000_000 + n} line {n}" for n in range(2500)]


def text(*frames):
    return b"".join(map(encode, frames)).decode()


def log_frames(lines=LOG, step=400):
    offset, frames = 0, []
    for start in range(0, len(lines), step):
        data = "".join(line + "\n" for line in lines[start : start + step]).encode()
        frames.append(Frame(folder.LOG, offset, data))
        offset += len(data)
    return frames


@pytest.fixture
def directory(tmp_path):
    writer = LogWriter(tmp_path)
    writer.note("installed")
    writer.close()
    write_job(tmp_path, JobRecord("landloom-w", (tmp_path / folder.LOG).stat().st_size))
    return tmp_path


def lines_of(directory):
    return (directory / folder.LOG).read_text().splitlines()


class TestCopy:
    @pytest.mark.parametrize("cut", [0, 1, 5000, 12_345, 20_000])
    def test_goes_on_where_a_killed_one_stopped(self, directory, cut):
        stream = text(*log_frames())
        first = Copy(directory)
        first.take(stream[:cut])
        first.close()
        # What a kill leaves: half a line.
        with (directory / folder.LOG).open("ab") as log:
            log.write(b"1800000000000 li")
        again = Copy(directory)
        again.take(stream)
        again.close()
        assert lines_of(directory)[1:] == LOG

    @pytest.mark.parametrize("step", [1, 400])
    def test_goes_on_behind_what_did_not_arrive(self, directory, step):
        frames = log_frames(step=step)
        first = Copy(directory)
        first.take(text(frames[0], *frames[2:4]))
        first.close()
        again = Copy(directory)
        again.take(text(frames[0], *frames[2:]))
        again.close()
        lost = sum(len(line) + 1 for line in LOG[step : 2 * step])
        told = [line.partition(" ")[2] for line in lines_of(directory)[1 : 2 * step + 2]]
        assert f"[landloom] {lost} bytes of this log did not arrive." in told
        assert lines_of(directory)[1 : step + 1] == LOG[:step]
        assert lines_of(directory)[step + 2 :] == LOG[2 * step :]

    def test_samples_that_did_not_arrive_double_no_others(self, directory):
        lines = [f'{{"n": {n}}}\n'.encode() for n in range(4)]
        frames = [Frame(USAGE, n * len(line), line) for n, line in enumerate(lines)]
        for stream in (text(frames[0], frames[2]), text(frames[0], *frames[2:])):
            copy = Copy(directory)
            copy.take(stream)
            copy.close()
        kept = (directory / USAGE).read_bytes().splitlines(keepends=True)
        assert [line for line in kept if line.strip()] == [lines[0], *lines[2:]]

    def test_nobody_else_may_copy_meanwhile(self, directory):
        copy = Copy(directory)
        with pytest.raises(BlockingIOError):
            Copy(directory)
        copy.close()
        Copy(directory).close()

    def test_the_end_comes_with_a_log_that_is_whole(self, directory):
        copy = Copy(directory)
        end = folder.ExitRecord(7, "exited", "2026-01-01T00:00:00+00:00", 3)
        copy.take(text(*log_frames(), Frame("exit", WHOLE, json.dumps(asdict(end)).encode())))
        assert copy.ended
        assert folder.read_exit(directory) == end
        assert lines_of(directory)[1:] == LOG

    def test_a_node_whose_clock_is_behind_tells_no_earlier_times(self, directory):
        behind = [f"{1_000_000_000_000 + n} line {n}" for n in range(5)]
        copy = Copy(directory)
        copy.take(text(*log_frames(behind)))
        copy.close()
        stamps = [int(line.split()[0]) for line in lines_of(directory)]
        assert stamps == sorted(stamps)
        assert [line.partition(" ")[2] for line in lines_of(directory)[1:]] == [
            f"line {n}" for n in range(5)
        ]

    def test_what_did_not_arrive_is_told(self, directory):
        copy = Copy(directory)
        first, _lost, third = log_frames(LOG[:1200])
        copy.take(text(first, third))
        copy.close()
        assert any("did not arrive" in line for line in lines_of(directory))
        assert lines_of(directory)[-1] == LOG[1199]
