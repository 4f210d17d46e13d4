"""What a workflow tells while it works: numbered progress events, and warnings it keeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from landloom.wire.progress import ProgressEvent, Stage


class Report(Protocol):
    """Tells how far a stage has come; `Journal.report` is one."""

    def __call__(
        self, stage: Stage, message: str, done: int | None = None, total: int | None = None
    ) -> None:
        """Take one step."""


@dataclass(slots=True)
class Journal:
    """Numbers a workflow's progress events from 0 and hands them on."""

    show: Callable[[ProgressEvent], None]
    warnings: list[str] = field(default_factory=list)
    """Every warning so far: the result repeats them."""
    _next: int = 0

    def report(
        self, stage: Stage, message: str, done: int | None = None, total: int | None = None
    ) -> None:
        """Tell how far a stage has come."""
        self._emit(stage, message, done, total, "info")

    def warn(self, stage: Stage, message: str) -> None:
        """Tell of something that is not as the user would expect it."""
        self.warnings.append(message)
        self._emit(stage, message, None, None, "warning")

    def _emit(
        self,
        stage: Stage,
        message: str,
        done: int | None,
        total: int | None,
        level: Literal["info", "warning"],
    ) -> None:
        event = ProgressEvent(
            seq=self._next,
            at=time.time(),
            stage=stage,
            message=message,
            done=done,
            total=total,
            level=level,
        )
        self._next += 1
        self.show(event)
