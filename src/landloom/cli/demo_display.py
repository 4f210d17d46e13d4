"""How the demo shows a run: a bar a stage on a terminal, plain lines elsewhere; on stderr."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Self

from rich.console import Console

from landloom.display import StageBars

_PROGRESS = re.compile(
    r"\[rasterflow\] (?P<stage>\w+) (?P<done>\d+)/(?P<total>\d+) \w+: (?P<what>.*)"
)


class RunDisplay:
    """Shows a run's status, its log lines, and the progress lines among them as bars."""

    def __init__(self, console: Console | None = None) -> None:
        """Show on `console`; on standard error if none is given."""
        self._console = console or Console(stderr=True, highlight=False)
        self._bars = StageBars(self._console)
        self._status = ""

    def __enter__(self) -> Self:
        self._bars.__enter__()
        self._bars.show("run", "")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.finish("run")
        self._bars.__exit__(kind, error, trace)

    def status(self, status: str) -> None:
        """Show the run's status, if it is a new one."""
        if status == self._status:
            return
        self._status = status
        self._bars.show("run", status)
        if not self._bars.visible:
            self._console.print(f"• Run is {status}", markup=False)

    def line(self, line: str) -> None:
        """Show one line of the run's log."""
        found = _PROGRESS.fullmatch(line)
        if found is None or not self._bars.visible:
            self._console.print(f"  {line}", style="dim", markup=False, soft_wrap=True)
            return
        self._bars.show(found["stage"], found["what"], int(found["done"]), int(found["total"]))
