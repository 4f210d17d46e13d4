"""The states of a run, and what each means to its workload."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """Where a run stands. A final status never changes.

    TIMED_OUT is never emitted, because some clients would wait for ever on it: a run that ran out
    of time is FAILED with an event that says so. As a filter of lists it finds those runs.
    """

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    FAILED = "FAILED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def final(self) -> bool:
        """Whether nothing can follow this status."""
        return self not in {self.PENDING, self.RUNNING}


class AppStatus(StrEnum):
    """Where the workload of a run stands; those of the public names that come up here."""

    PENDING = "PENDING"
    PREPARING = "PREPARING"
    PREPARE_FAILED = "PREPARE_FAILED"
    REQUESTED = "REQUESTED"
    DEPLOYING = "DEPLOYING"
    DEPLOY_FAILED = "DEPLOY_FAILED"
    READY = "READY"
    DESTROYED = "DESTROYED"


HANDED_OVER = (AppStatus.REQUESTED, AppStatus.DEPLOYING)
"""Of a run that is PENDING: a launcher has it, or is about to, and has it begin when it can."""


class EventCode(StrEnum):
    """What can happen to a run."""

    APP_START_CREATION = "APP_START_CREATION"
    RUN_RUNTIME_CLAMPED = "RUN_RUNTIME_CLAMPED"
    RUN_WAIT_EXEC = "RUN_WAIT_EXEC"
    RUN_START_EXEC = "RUN_START_EXEC"
    RUN_COMPLETE_EXEC = "RUN_COMPLETE_EXEC"
    RUN_FAIL_EXEC = "RUN_FAIL_EXEC"
    RUN_FAIL_PREPARE = "RUN_FAIL_PREPARE"
    RUN_CANCEL_REQUESTED = "RUN_CANCEL_REQUESTED"
