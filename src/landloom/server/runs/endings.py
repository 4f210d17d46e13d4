"""How a run can end, and what each end is called."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from landloom.errors import LandloomError
from landloom.server.launchers.base import Observation
from landloom.server.runs.states import AppStatus, EventCode, RunStatus

_TIMEOUT: Final = re.compile("time-?out", re.IGNORECASE)
_NAMED_TIMEOUT: Final = re.compile(
    r"""[^\s"'(]*time-?out\S*?(?=[.,;:!?"')]*(?:\s|$))""", re.IGNORECASE
)
"""The word and what is written together with it, but for what ends a sentence."""
_SIGNALLED: Final = 128
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Ending:
    """A final status with its reason."""

    status: RunStatus
    code: EventCode | None
    message: str = ""
    exit_code: int | None = None
    timed_out: bool = False
    app_status: AppStatus = AppStatus.DESTROYED
    meta: dict[str, Any] | None = field(default=None)

    @classmethod
    def cancelled(cls) -> Self:
        """Return the end of a run that was cancelled; the event tells who asked already."""
        return cls(RunStatus.CANCELLED, None)


def ending_of(seen: Observation, timeout_seconds: int, memory_limit: int) -> Ending:
    """Return the end of a workload that has exited.

    Args:
        seen: What its runner told.
        timeout_seconds: What it was allowed.
        memory_limit: What it was allowed, bytes.
    """
    ending = _ending_of(seen, timeout_seconds, memory_limit)
    if not seen.lost_lines or ending.code is None:
        return ending
    lost = f" {seen.lost_lines} lines of its log are lost: {seen.log_error}."
    return replace(ending, message=ending.message + _without_timeout(lost))


def _ending_of(seen: Observation, timeout_seconds: int, memory_limit: int) -> Ending:
    meta = _span(seen)
    if seen.reason == "memory":
        return Ending(
            RunStatus.FAILED,
            EventCode.RUN_FAIL_EXEC,
            f"out of memory: the run used {(seen.peak_memory or 0) / _MIB:.0f} MiB, and its"
            f" runtime has {memory_limit / _MIB:.0f} MiB. Choose a larger runtime.",
            exit_code=seen.exit_code,
            meta=meta,
        )
    if seen.reason == "timeout":
        return Ending(
            RunStatus.FAILED,
            EventCode.RUN_FAIL_EXEC,
            f"timeout: the run was ended after its {timeout_seconds} seconds.",
            exit_code=seen.exit_code,
            timed_out=True,
            meta=meta,
        )
    if seen.reason == "cancelled":
        return Ending(RunStatus.CANCELLED, None, exit_code=seen.exit_code)
    if seen.started_at is None:
        ending = not_started("The script could not be started: the end of the run's log says why.")
        return replace(ending, exit_code=seen.exit_code)
    if seen.exit_code == 0:
        return Ending(
            RunStatus.COMPLETED,
            EventCode.RUN_COMPLETE_EXEC,
            "The script ended well.",
            exit_code=0,
            meta=meta,
        )
    return Ending(
        RunStatus.FAILED,
        EventCode.RUN_FAIL_EXEC,
        f"The script ended with exit code {seen.exit_code}{_signal_name(seen.exit_code)}.",
        exit_code=seen.exit_code,
        meta=meta,
    )


def lost(seen: Observation) -> Ending:
    """Return the end of a workload that vanished with its runner, or before it had one."""
    if seen.started_at is None:
        return not_started("The run was lost before its script began; its log may say how.")
    return Ending(
        RunStatus.FAILED,
        EventCode.RUN_FAIL_EXEC,
        "The process that supervised the script is gone; what was left of the run was ended.",
    )


def not_started(sentence: str) -> Ending:
    """Return the end of a run that was ready and could not be started."""
    return Ending(
        RunStatus.FAILED,
        EventCode.RUN_FAIL_EXEC,
        _without_timeout(sentence),
        app_status=AppStatus.DEPLOY_FAILED,
    )


def not_prepared(problem: LandloomError) -> Ending:
    """Return the end of a run whose script or packages could not be had."""
    return Ending(
        RunStatus.FAILED,
        EventCode.RUN_FAIL_PREPARE,
        _without_timeout(str(problem)),
        app_status=AppStatus.PREPARE_FAILED,
    )


def _without_timeout(sentence: str) -> str:
    """Return what clients do not take for a run that took too long, as they take that word.

    A path or a name that has it is not another one: it is left to the log, which says all.
    """

    def reworded(found: re.Match[str]) -> str:
        is_word = _TIMEOUT.fullmatch(found.group())
        return "time limit" if is_word else "(the run's log names it)"

    return _TIMEOUT.sub("time limit", _NAMED_TIMEOUT.sub(reworded, sentence))


def _span(seen: Observation) -> dict[str, Any] | None:
    if seen.started_at is None or seen.ended_at is None:
        return None
    return {
        "start_timestamp": int(seen.started_at.timestamp()),
        "end_timestamp": int(seen.ended_at.timestamp()),
    }


def _signal_name(exit_code: int | None) -> str:
    if exit_code is None or exit_code <= _SIGNALLED:
        return ""
    try:
        return f" (killed by {signal.Signals(exit_code - _SIGNALLED).name})"
    except ValueError:
        return ""
