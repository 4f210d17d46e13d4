"""All stages over a sample, as a process of its own: `python -m tests.engine.pipeline FOLDER`.

It prints a line for each thing done (`FRESH STAGE` is work, `KEPT STAGE` what it found) and goes on
when it is given a line, so that a test can kill it at any of them. Started again on the same folder
it goes on. A workflow that was finished is not begun again, as no server would.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from shapely.geometry import box, mapping

from landloom.raster.predict.mosaic import WRITTEN_BEFORE
from landloom.raster.vectorize.mosaic import TRACED_BEFORE
from landloom.raster.workflow import run
from landloom.wire.progress import ProgressEvent
from landloom.wire.requests import BuildZarrMultiscales, WorkflowRequest
from landloom.wire.results import WorkflowResult
from tests.engine.workflows import engine, fields, polygons

PLACE = mapping(box(13.105, 48.278, 13.130, 48.292))
"""Some 190 x 160 pixels: nine tiles of 64."""

FOUND = (WRITTEN_BEFORE, TRACED_BEFORE, "Going on")
"""How a message begins that tells of work of an earlier start."""


def go(folder: Path, show: Callable[[ProgressEvent], None]) -> dict[str, str]:
    """Run or go on with every stage; return the output of each."""

    def do(request: WorkflowRequest, seed: str) -> WorkflowResult:
        done = folder / f"{seed}.json"
        if not done.exists():
            result = run(request, settings=engine(folder), seed=seed, show=show)
            done.write_text(result.model_dump_json(), encoding="utf-8")
        return WorkflowResult.model_validate_json(done.read_text(encoding="utf-8"))

    made = do(fields(aoi=PLACE, cache=False), "fields")
    prediction = made.mosaics[0].location
    copied = do(BuildZarrMultiscales(source_store=prediction, cache=False), "overviews")
    return {
        "mosaic": made.inputs[0].location,
        "predict": prediction,
        "vectorize": str(do(polygons(prediction, cache=False), "vectors").uri),
        "multiscales": str(copied.uri),
    }


def _show(event: ProgressEvent) -> None:
    if event.done is not None:
        kind = "KEPT" if event.message.startswith(FOUND) else "FRESH"
        print(kind, event.stage, event.done, event.total, flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    go(Path(sys.argv[1]), _show)
