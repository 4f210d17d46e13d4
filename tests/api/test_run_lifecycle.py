"""Runs from submit to end, through the real application, launcher and runner."""

from __future__ import annotations

from tests.api.platform import Platform


class TestLifecycle:
    def test_a_script_runs_and_its_lines_are_readable(self, api: Platform) -> None:
        run = api.submit("import sys\nprint('hello', *sys.argv[1:])\n", args=["a", "b c"])
        assert run["status"] == "PENDING"
        done = api.finished(run["id"])
        assert done["status"] == "COMPLETED"
        assert api.lines(run["id"]) == ["hello a b c"]
        assert api.codes(run["id"]) == [
            "APP_START_CREATION",
            "RUN_START_EXEC",
            "RUN_COMPLETE_EXEC",
        ]
