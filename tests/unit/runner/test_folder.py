import stat

import pytest

from landloom.runner import folder


def test_a_spec_comes_back_and_is_for_its_owner_only(tmp_path):
    spec = folder.Spec(("a", "b"), {"KEY": "secret"}, 60.0, 2.0)
    folder.write_spec(tmp_path, spec)
    assert folder.read_spec(tmp_path) == spec
    assert stat.S_IMODE((tmp_path / folder.SPEC).stat().st_mode) == 0o600


def test_what_is_not_there_reads_none(tmp_path):
    assert folder.read_runner(tmp_path) is None
    assert folder.read_exit(tmp_path) is None


def test_a_record_without_the_later_fields_is_read(tmp_path):
    (tmp_path / folder.EXIT).write_text(
        '{"exit_code": 0, "reason": "exited", "ended_at": "2026-01-01T00:00:00Z", "lines": 3}'
    )
    assert folder.read_exit(tmp_path).lost_lines == 0


def test_writing_leaves_the_old_file_or_the_new_one_and_no_other(tmp_path):
    path = tmp_path / "value"
    folder.write_json(path, 1)
    with pytest.raises(TypeError):
        folder.write_json(path, object())
    assert path.read_text() == "1"
    assert list(tmp_path.iterdir()) == [path]
