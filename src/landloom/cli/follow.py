"""Following a run: its lines as they come, its end, and Ctrl-C on the way."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from landloom.cli.client import ApiClient

FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"})
_POLL_SECONDS = 0.5


@dataclass(slots=True)
class _Interrupted:
    """How often Ctrl-C was pressed."""

    times: int = 0


def follow(
    client: ApiClient,
    run_id: str,
    say: Callable[[str], None],
    *,
    cursor: int = 0,
    cancel_on_interrupt: bool = True,
) -> dict[str, Any]:
    """Print a run's lines until it ends, and return the run.

    The first Ctrl-C cancels the run and goes on waiting for its end, the second stops waiting.

    Args:
        client: Talks to the platform.
        run_id: The run.
        say: Called with sentences about the run, which are not its output.
        cursor: Lines to leave out at the start.
        cancel_on_interrupt: Otherwise Ctrl-C only stops following.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed (again).
    """
    asked = False
    status = ""
    with _counting_interrupts(cancel_on_interrupt) as interrupted:
        while True:
            if interrupted.times and not asked:
                asked = True
                say(f"Cancelling {run_id}; waiting for its end (Ctrl-C again stops waiting).")
                client.cancel(run_id)
            # The status first: once it is final, every line is readable.
            run = client.run(run_id)
            if run["status"] != status:
                status = run["status"]
                say(f"{run_id} is {status}.")
            cursor = _print_lines(client, run_id, cursor)
            if status in FINAL:
                return run
            time.sleep(_POLL_SECONDS)


def failure(run: dict[str, Any]) -> str:
    """Return why a run failed, in the server's words; empty where it does not say."""
    events = (run.get("kubeApp") or {}).get("events") or []
    said = [event["message"] for event in events if "FAIL" in str(event.get("code"))]
    return str(said[-1]) if said else ""


def _print_lines(client: ApiClient, run_id: str, cursor: int) -> int:
    while True:
        lines, cursor = client.logs(run_id, cursor)
        if not lines:
            return cursor
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()


@contextmanager
def _counting_interrupts(counting: bool) -> Iterator[_Interrupted]:
    interrupted = _Interrupted()

    def count(_number: int, _frame: FrameType | None) -> None:
        interrupted.times += 1
        if interrupted.times > 1:
            raise KeyboardInterrupt

    if not counting:
        yield interrupted
        return
    before = signal.signal(signal.SIGINT, count)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
