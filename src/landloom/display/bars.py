"""One bar a stage: the same layout wherever Landloom shows how far something has come."""

from __future__ import annotations

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


class StageBars:
    """A bar for each stage, in the order in which they begin; nothing where there is no terminal.

    Usable as a context manager; lines printed through `console` meanwhile stand above the bars.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description:<11}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
            # Whatever is left of the line, cut where it ends: a bar is one line, always.
            TextColumn(
                "{task.fields[what]}",
                style="dim",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            console=console,
            expand=True,
            disable=not console.is_terminal,
        )
        self._stages: dict[str, TaskID] = {}

    @property
    def visible(self) -> bool:
        """Whether there is a terminal to draw on."""
        return not self._bars.disable

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def show(
        self, stage: str, what: str, done: int | None = None, total: int | None = None
    ) -> None:
        """Bring a stage's bar up to date.

        Args:
            stage: Which bar; a new one appears below the others.
            what: What is being done.
            done: How much of it.
            total: How much it is in all; None where nobody knows: the bar pulses.
        """
        if stage not in self._stages:
            self._stages[stage] = self._bars.add_task(stage, total=None, what="")
        task = self._stages[stage]
        self._bars.update(task, what=what)
        if total is not None:
            self._bars.update(task, total=total, completed=done or 0)

    def finish(self, stage: str) -> None:
        """Fill a stage's bar, if it has begun."""
        if stage in self._stages:
            self._bars.update(self._stages[stage], total=1, completed=1)
