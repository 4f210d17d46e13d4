"""How a workflow is shown: its events as bars on a terminal, as lines in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console

from landloom.display.bars import StageBars
from landloom.wire.progress import ProgressEvent

LABEL = "rasterflow"


class WorkflowDisplay:
    """Shows the events of one workflow.

    On a terminal one bar a stage; elsewhere (a job's log, a pipe) each event as one line, so that
    the log of a run tells how its workflows went.
    """

    def __init__(self, title: str, console: Console | None = None) -> None:
        """Show on `console`; on standard output if none is given."""
        self._title = title
        self._console = console or Console(file=sys.stdout, highlight=False)
        self._bars = StageBars(self._console)
        self._started = time.monotonic()
        self._stage = ""
        self._identity = "-"

    def __enter__(self) -> Self:
        self._bars.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.__exit__(kind, error, trace)

    def begun(self, identity: str) -> None:
        """Take note of the workflow's id, for the line that says how it ended."""
        self._identity = identity

    def show(self, event: ProgressEvent) -> None:
        """Show one event."""
        if not self._bars.visible:
            self._line(event.line())
            return
        if event.level != "info":
            self._console.print(event.line(), style="yellow", markup=False)
        if self._stage == "search" != event.stage:
            # A search has no numbers: it is over once something else begins.
            self._bars.finish("search")
        self._stage = event.stage
        self._bars.show(event.stage, event.message, event.done, event.total)

    def finish(self, state: str) -> None:
        """Say how it ended: seconds, state, id; the id is `-` where none was known."""
        if state.startswith("COMPLETED"):
            for stage in ("search", "publish"):
                self._bars.finish(stage)
        seconds = time.monotonic() - self._started
        self._line(f"[{LABEL}] {self._title} [{seconds:.1f} s] {state} ID: {self._identity}")

    def _line(self, line: str) -> None:
        """Print a line as it is, however long, at once."""
        self._console.print(line, markup=False, soft_wrap=True)
        self._console.file.flush()
