"""A run that prints 1,000,000 lines as fast as it can: all of them there, any page as cheap.

Counts lines twice, in the exit record and by reading every page; times pages at the start and at
the end of the log over HTTP (goal: within 2x); and watches the server's memory while the lines come
and while all are read. The limit is a page of a log that has only that page.

    python bench/logs.py [--lines 1000000] [--rounds 3] [--pages 50]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import report
from bench.platforms import Bench, platform

PAGE = 1000
WAIT_SECONDS = 400
SCRIPT = """
import sys
block = ''.join(f'{n:07d} ' + 'x' * 71 + chr(10) for n in range(1000))
for n in range(LINES // 1000):
    sys.stdout.write(f'block {n:07d} ' + 'y' * 65 + chr(10) + block[80:])
"""


class Memory:
    """Watches what a process holds."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._stop = threading.Event()
        self.peak = self.first = self._look()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self.peak = max(self.peak, self._look())

    def _look(self) -> int:
        return int(self._process.memory_info().rss)


def finished(client: httpx.Client, run_id: str) -> None:
    ends = time.monotonic() + WAIT_SECONDS
    while (status := client.get(f"/runs/{run_id}").json()["status"]) in {"PENDING", "RUNNING"}:
        assert time.monotonic() < ends, "the run did not end"
        time.sleep(0.2)
    assert status == "COMPLETED", client.get(f"/runs/{run_id}").text


def submit(bench: Bench, client: httpx.Client, lines: int) -> str:
    uri = bench.upload(f"print-{lines}.py", SCRIPT.replace("LINES", str(lines)))
    body = {"runtime": "tiny", "runPython": {"uri": uri}}
    return str(client.post("/runs", json=body).raise_for_status().json()["id"])


def page_seconds(client: httpx.Client, run_id: str, cursor: int) -> float:
    path = f"/runs/{run_id}/logs?cursor={cursor}&size={PAGE}"
    begun = time.perf_counter()
    answer = client.get(path)
    taken = time.perf_counter() - begun
    assert len(answer.json()["items"]) == PAGE
    return taken


def all_there(client: httpx.Client, run_id: str, lines: int) -> bool:
    """Read every page; say whether each line is where it was printed."""
    cursor = 0
    while True:
        page = client.get(f"/runs/{run_id}/logs?cursor={cursor}&size={PAGE}").json()
        if page["next_page"] is None:
            return cursor == lines
        for number, item in enumerate(page["items"], cursor):
            block, place = divmod(number, 1000)
            wanted = f"block {block:07d} " if place == 0 else f"{place:07d} "
            if not item["raw"].startswith(wanted):
                return False
        cursor = page["next_page"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pages", type=int, default=50)
    asked = parser.parse_args()
    with platform() as bench, bench.client() as client:
        short = submit(bench, client, PAGE)
        finished(client, short)
        page_seconds(client, short, 0)
        memory = Memory(bench.server())
        begun = time.perf_counter()
        long = submit(bench, client, asked.lines)
        finished(client, long)
        printed = time.perf_counter() - begun
        there = all_there(client, long, asked.lines)
        memory.end()
        places = {"limit": (short, 0), "start": (long, 0), "end": (long, asked.lines - PAGE)}
        taken: dict[str, list[float]] = {name: [] for name in places}
        for _ in range(asked.rounds):
            for name, (run_id, cursor) in places.items():
                taken[name] += [page_seconds(client, run_id, cursor) for _ in range(asked.pages)]
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    report(
        "logs",
        ours=medians["end"],
        limit=medians["limit"],
        peers={},
        agree=there,
        rounds=asked.rounds,
        unit=f"s for a page of {PAGE}",
        end_over_start=medians["end"] / medians["start"],
        goal_end_over_start=2.0,
        lines=asked.lines,
        submit_to_end_s=printed,
        server_grew_mib=(memory.peak - memory.first) / 2**20,
        server_mib=memory.peak / 2**20,
    )


if __name__ == "__main__":
    main()
