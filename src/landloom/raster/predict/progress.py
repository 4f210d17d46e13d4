"""How far a prediction has come, told by the thread that asked for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from landloom.raster.journal import Report


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a prediction that is done."""

    blocks: int
    valid: int
    """Pixels with a value."""
    refused: int
    """Pixels for which the model gave none."""


@dataclass(slots=True)
class Progress:
    """Counts what is done. Any thread may `tell`; only the one that made it reports.

    An executor asks `asked` often from that thread, so what others told is reported then.
    """

    report: Report
    cancelled: Callable[[], bool]
    total: int
    """Blocks."""
    done: int = 0
    valid: int = 0
    refused: int = 0
    _told: SimpleQueue[Part] = field(default_factory=SimpleQueue)
    _owner: int = field(default_factory=threading.get_ident)

    def tell(self, part: Part) -> None:
        """Take a part, from any thread."""
        self._told.put(part)

    def asked(self) -> bool:
        """Return whether the work is no longer wanted."""
        if threading.get_ident() == self._owner:
            self.catch_up()
        return self.cancelled()

    def catch_up(self) -> None:
        """Report all that was told, from the thread that made this."""
        while True:
            try:
                part = self._told.get_nowait()
            except Empty:
                return
            self.count(part)

    def count(self, part: Part, message: str = "Running the model") -> None:
        """Count a part and report it."""
        self.done += part.blocks
        self.valid += part.valid
        self.refused += part.refused
        self.report("predict", message, self.done, self.total)
