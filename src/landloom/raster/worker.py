"""The process that does one workflow for a server: `python -m landloom.raster.worker REQUEST.json`.

REQUEST.json holds `{"id", "output_uri", "request"}`. In the folder it stands in the worker appends
each progress event to `progress.jsonl` and, at the end, publishes `result.json` whole:
`{"status", "result", "error"}`. SIGTERM cancels. It exits with 0 only if the workflow completed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, Self

from landloom.errors import Cancelled, LandloomError
from landloom.raster import workflow
from landloom.raster.settings import EngineSettings
from landloom.wire.enums import WorkflowStatus
from landloom.wire.progress import ProgressEvent
from landloom.wire.requests import workflow_request
from landloom.wire.results import WorkflowError, WorkflowResult


def main(argv: list[str]) -> int:
    """Do the workflow that the file `argv[0]` asks for; return the exit code."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    given = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
    with ProgressFile(Path("progress.jsonl")) as progress:
        status, result, error = _outcome(given, progress, stop)
    body = {
        "status": status.value,
        "result": result.model_dump(mode="json") if result else None,
        "error": error.model_dump(mode="json") if error else None,
    }
    _publish(Path("result.json"), body)
    return 0 if status is WorkflowStatus.COMPLETED else 1


class ProgressFile:
    """Appends events to a file, one JSON line each, and prints them as a log's lines.

    A worker that is started a second time on the same file goes on counting where the first one
    stopped, because readers use `seq` as their cursor.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        """Open the file; `first` is then the next free number."""
        self.first = len(self._path.read_bytes().splitlines()) if self._path.exists() else 0
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def show(self, event: ProgressEvent) -> None:
        """Append one event and print it."""
        event = event.model_copy(update={"seq": self.first + event.seq})
        self._file.write(event.model_dump_json() + "\n")
        self._file.flush()
        print(event.line(), flush=True)  # noqa: T201 - the runner keeps what a worker prints


def _outcome(
    given: dict[str, Any], progress: ProgressFile, stop: threading.Event
) -> tuple[WorkflowStatus, WorkflowResult | None, WorkflowError | None]:
    try:
        request = workflow_request.validate_python(given["request"])
        settings = EngineSettings.from_environment().writing_to(given["output_uri"])
        result = workflow.run(
            request,
            settings=settings,
            seed=given["id"],
            show=progress.show,
            cancelled=stop.is_set,
        )
    except Cancelled as cancelled:
        return WorkflowStatus.CANCELLED, None, _told(cancelled)
    except LandloomError as problem:
        traceback.print_exc()
        return WorkflowStatus.FAILED, None, _told(problem)
    except Exception as bug:  # noqa: BLE001 - whatever it is, the server must hear of it
        traceback.print_exc()
        message = f"{type(bug).__name__}: {bug}"
        hint = "This is a defect of the engine: the workflow's log has the traceback."
        return (
            WorkflowStatus.FAILED,
            None,
            WorkflowError(code="WORKFLOW_FAILED", message=message, suggestion=hint),
        )
    return WorkflowStatus.COMPLETED, result, None


def _told(problem: LandloomError) -> WorkflowError:
    return WorkflowError(code=problem.code, message=problem.message, suggestion=problem.suggestion)


def _publish(path: Path, body: dict[str, Any]) -> None:
    """Write the result so that a reader sees all of it or nothing, whatever is killed when."""
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(body, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: it would wait for a thread that is deep in a read when the work was cancelled.
    os._exit(code)
