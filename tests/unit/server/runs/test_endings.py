from __future__ import annotations

from datetime import UTC, datetime

import pytest

from landloom.errors import NotFound, Unavailable
from landloom.server.launchers.base import Observation
from landloom.server.runs.endings import ending_of, lost, not_prepared, not_started
from landloom.server.runs.states import AppStatus, EventCode, RunStatus

AT = datetime(2026, 1, 1, tzinfo=UTC)


def exited(code: int, reason: str = "exited") -> Observation:
    return Observation("exited", AT, AT, code, reason)  # type: ignore[arg-type]


class TestEndings:
    @pytest.mark.parametrize(
        ("seen", "status", "code"),
        [
            (exited(0), RunStatus.COMPLETED, EventCode.RUN_COMPLETE_EXEC),
            (exited(1), RunStatus.FAILED, EventCode.RUN_FAIL_EXEC),
            (exited(137), RunStatus.FAILED, EventCode.RUN_FAIL_EXEC),
            (exited(143, "timeout"), RunStatus.FAILED, EventCode.RUN_FAIL_EXEC),
            # A script that ends well on SIGTERM was cancelled all the same.
            (exited(0, "cancelled"), RunStatus.CANCELLED, None),
            (exited(0, "timeout"), RunStatus.FAILED, EventCode.RUN_FAIL_EXEC),
        ],
    )
    def test_status_and_event(
        self, seen: Observation, status: RunStatus, code: EventCode | None
    ) -> None:
        ending = ending_of(seen, 60, 1 << 30)
        assert (ending.status, ending.code) == (status, code)

    def test_only_a_timeout_says_timeout(self) -> None:
        assert "timeout" in ending_of(exited(143, "timeout"), 60, 1 << 30).message
        others = [
            ending_of(exited(137), 60, 1 << 30),
            lost(Observation("lost", AT)),
            lost(Observation("lost")),
            not_started("Connect TimeOut, and a time-out."),
            not_prepared(Unavailable("Read timeout on endpoint")),
        ]
        assert not any("timeout" in each.message.lower() for each in others)

    @pytest.mark.parametrize(
        ("sentence", "told"),
        [
            (
                "There is no object s3://b/missing-timeout.py. Upload it first.",
                "There is no object (the run's log names it). Upload it first.",
            ),
            ("'/mnt/timeout/a.py' is no file.", "'(the run's log names it)' is no file."),
            ("There is no s3://b/Time-Out's)x.py", "There is no (the run's log names it)"),
            ("Read timeout: try again (a timeout).", "Read time limit: try again (a time limit)."),
            ("timeout", "time limit"),
        ],
    )
    def test_a_name_with_that_word_is_left_to_the_log(self, sentence: str, told: str) -> None:
        assert not_prepared(NotFound(sentence)).message == told

    def test_what_never_began_did_not_end_with_a_code(self) -> None:
        ending = ending_of(Observation("exited", None, AT, 126, "exited"), 60, 1 << 30)
        assert (ending.status, ending.app_status) == (RunStatus.FAILED, AppStatus.DEPLOY_FAILED)
        assert "could not be started" in ending.message
        assert lost(Observation("lost")).app_status is AppStatus.DEPLOY_FAILED

    def test_a_signal_is_named(self) -> None:
        assert "SIGKILL" in ending_of(exited(137), 60, 1 << 30).message

    def test_what_could_not_be_had_is_told_with_the_way_out(self) -> None:
        ending = not_prepared(NotFound("No x.py.", suggestion="Upload it."))
        assert ending.message == "No x.py. Upload it."
