"""How the demo shows a run: a bar a stage on a terminal, plain lines elsewhere; on stderr."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

_PROGRESS = re.compile(
    r"\[rasterflow\] (?P<stage>\w+) (?P<done>\d+)/(?P<total>\d+) \w+: (?P<what>.*)"
)


class RunDisplay:
    """Shows a run's status, its log lines, and the progress lines among them as bars."""

    def __init__(self, console: Console | None = None) -> None:
        """Show on `console`; on standard error if none is given."""
        self._console = console or Console(stderr=True, highlight=False)
        self._bars = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
            TextColumn("{task.fields[what]:.24}", style="dim"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._run = self._bars.add_task("run", total=None, what="")
        self._stages: dict[str, TaskID] = {}
        self._status = ""

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.update(self._run, total=1, completed=1)
        self._bars.stop()

    def status(self, status: str) -> None:
        """Show the run's status, if it is a new one."""
        if status == self._status:
            return
        self._status = status
        self._bars.update(self._run, what=status)
        if self._bars.disable:
            self._console.print(f"• Run is {status}", markup=False)

    def line(self, line: str) -> None:
        """Show one line of the run's log."""
        found = _PROGRESS.fullmatch(line)
        if found is None or self._bars.disable:
            self._console.print(f"  {line}", style="dim", markup=False, soft_wrap=True)
            return
        stage = found["stage"]
        if stage not in self._stages:
            self._stages[stage] = self._bars.add_task(stage, total=None, what="")
        self._bars.update(
            self._stages[stage],
            completed=int(found["done"]),
            total=int(found["total"]),
            what=found["what"],
        )
