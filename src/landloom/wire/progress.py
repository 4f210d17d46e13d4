"""How far a workflow has come: one JSON line an event, from the engine to server and client."""

from __future__ import annotations

from typing import Literal

from landloom.wire.model import WireModel

Stage = Literal["search", "mosaic", "predict", "change", "vectorize", "multiscales", "publish"]


class ProgressEvent(WireModel):
    """One step of a workflow.

    `seq` counts from 0 within a workflow and is the cursor of `GET /rasterflow/runs/{id}/events`.
    """

    seq: int
    at: float
    """Unix time, seconds."""
    stage: Stage
    message: str
    """A sentence for people, complete without the numbers."""
    done: int | None = None
    total: int | None = None
    unit: str = "tiles"
    level: Literal["info", "warning", "error"] = "info"

    def line(self) -> str:
        """Return the event as one line of a run's log."""
        numbers = "" if self.total is None else f" {self.done}/{self.total} {self.unit}"
        mark = "" if self.level == "info" else f" {self.level.upper()}"
        return f"[rasterflow]{mark} {self.stage}{numbers}: {self.message}"
