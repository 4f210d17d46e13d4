from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from landloom.runner.folder import WORK
from landloom.server.workflows.folder import (
    ProgressReader,
    last_progress,
    read_outcome,
    write_request,
)


def event(seq: int) -> str:
    return json.dumps({"seq": seq, "at": 1.0, "stage": "mosaic", "message": f"step {seq}"}) + "\n"


def work(directory: Path) -> Path:
    (directory / WORK).mkdir(exist_ok=True)
    return directory / WORK


class TestProgress:
    def test_half_a_line_waits_for_its_other_half(self, tmp_path: Path) -> None:
        path = work(tmp_path) / "progress.jsonl"
        reader = ProgressReader(tmp_path)
        assert reader.read() == []
        path.write_text(event(0) + event(1)[:10])
        assert [each.seq for each in reader.read()] == [0]
        with path.open("a") as file:
            file.write(event(1)[10:] + event(2))
        assert [each.seq for each in reader.read()] == [1, 2]
        assert reader.read() == []

    def test_what_was_seen_and_what_is_no_event_is_left_out(self, tmp_path: Path) -> None:
        (work(tmp_path) / "progress.jsonl").write_text(event(0) + "rubbish\n" + event(1) + event(2))
        assert [each.seq for each in ProgressReader(tmp_path, after=0).read()] == [1, 2]

    def test_no_more_is_read_at_once_than_fits_into_a_servers_memory(self, tmp_path: Path) -> None:
        path = work(tmp_path) / "progress.jsonl"
        with path.open("w") as file:
            file.writelines(map(event, range(30_000)))
            file.write("x" * (3 << 20) + "\n" + event(30_000) + event(30_001)[:4])
        reader = ProgressReader(tmp_path)
        pages = list(iter(reader.read, []))
        assert [each.seq for page in pages for each in page] == list(range(30_001))
        assert max(map(len, pages)) < 30_000
        with path.open("a") as file:
            file.write(event(30_001)[4:])
        assert [each.seq for each in reader.read()] == [30_001]

    def test_the_last_one_is_the_last_whole_one(self, tmp_path: Path) -> None:
        assert last_progress(tmp_path) is None
        (work(tmp_path) / "progress.jsonl").write_text(
            "".join(map(event, range(3000))) + event(9)[:5]
        )
        last = last_progress(tmp_path)
        assert last is not None
        assert last.seq == 2999


class TestOutcome:
    @pytest.mark.parametrize("text", ["", "{", "[]", '{"status": "RUNNING"}', '{"status": "?"}'])
    def test_what_makes_no_sense_is_none(self, tmp_path: Path, text: str) -> None:
        assert read_outcome(tmp_path) is None
        (work(tmp_path) / "result.json").write_text(text)
        assert read_outcome(tmp_path) is None


class TestTricks:
    """Who owns the worker's folder may put anything in it."""

    GOOD = '{"status": "COMPLETED"}'

    def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").write_text(self.GOOD)
        (work(tmp_path) / "result.json").symlink_to(tmp_path / "elsewhere")
        (work(tmp_path) / "progress.jsonl").symlink_to(tmp_path / "elsewhere")
        assert read_outcome(tmp_path) is None
        assert last_progress(tmp_path) is None
        assert ProgressReader(tmp_path).read() == []

    def test_a_pipe_holds_nobody_up(self, tmp_path: Path) -> None:
        os.mkfifo(work(tmp_path) / "result.json")
        assert read_outcome(tmp_path) is None

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_what_is_somebody_elses_is_not_read(self, tmp_path: Path) -> None:
        (work(tmp_path) / "result.json").write_text(self.GOOD)
        assert read_outcome(tmp_path) is not None
        os.chown(work(tmp_path), 50_001, 50_001)
        assert read_outcome(tmp_path) is None


class TestRequest:
    def test_only_its_owner_reads_it(self, tmp_path: Path) -> None:
        path = write_request(
            tmp_path / "w", workflow_id="w", output_uri="s3://b/", request={"a": 1}
        )
        assert path.stat().st_mode & 0o777 == 0o600
        body = {"id": "w", "output_uri": "s3://b/", "request": {"a": 1}}
        assert json.loads(path.read_text()) == body
