"""How progress is shown: a bar on a terminal, lines in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from landloom.wire.progress import ProgressEvent


class ProgressDisplay:
    """Shows the steps of one workflow on standard output.

    On a terminal one bar a stage; elsewhere (a job's log, a pipe) each event as one line, so that
    the log of a run tells how its workflows went.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._started = time.monotonic()
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if sys.stdout.isatty():
            self._bars = Progress(
                TextColumn("{task.fields[stage]:>9}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.description}"),
                console=Console(),
            )
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, event: ProgressEvent) -> None:
        """Show one event."""
        if self._bars is None:
            print(event.line(), flush=True)  # noqa: T201 - showing it is what this is for
            return
        if event.level != "info":
            self._bars.console.print(event.line(), style="yellow", markup=False)
        known = self._tasks.get(event.stage)
        if known is None:
            known = self._bars.add_task(event.message, stage=event.stage, total=event.total)
            self._tasks[event.stage] = known
        self._bars.update(
            known, description=event.message, total=event.total, completed=event.done or 0
        )

    def finish(self, identity: str, state: str) -> None:
        """Print the closing line: seconds, state, id."""
        seconds = time.monotonic() - self._started
        print(  # noqa: T201 - as above
            f"[rasterflow] {self._title} [{seconds:.1f} s] {state} ID: {identity}", flush=True
        )
