"""From POST /runs to the first line that GET /runs/{id}/logs shows, on a real platform.

Two cases: a warm environment (goal: median under 0.5 s), and one small PYPI dependency that is
cached (under 3 s). The limit is the script's interpreter alone, started here and read by a pipe.

    python bench/submit.py [--rounds 3] [--submits 10]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import report
from bench.platforms import Bench, platform, small_wheel

POLL_SECONDS = 0.005
LIMIT_SECONDS = 60
CASES: dict[str, tuple[float, str, dict[str, Any]]] = {
    "submit_warm": (0.5, "print('first line')\n", {}),
    "submit_dependency": (
        3.0,
        "import landloom_small\nprint(landloom_small.words)\n",
        {"dependencies": [{"libraryName": "landloom-small", "libraryVersion": "1.0"}]},
    ),
}
WANTED = {"submit_warm": "first line", "submit_dependency": "a small dependency"}


def submitted(client: httpx.Client, uri: str, environment: dict[str, Any]) -> tuple[float, str]:
    """Submit; return (seconds until a line could be read, the first line of the script)."""
    body = {"runtime": "micro", "runPython": {"uri": uri}, "environment": environment}
    begun = time.perf_counter()
    run_id = client.post("/runs", json=body).raise_for_status().json()["id"]
    while True:
        items = client.get(f"/runs/{run_id}/logs", params={"size": 100}).json()["items"]
        # What an installer printed is no line of the script; the warm runs have none.
        if items:
            return time.perf_counter() - begun, items[-1]["raw"]
        if time.perf_counter() - begun > LIMIT_SECONDS:
            raise RuntimeError(client.get(f"/runs/{run_id}").text)
        time.sleep(POLL_SECONDS)


def settle(client: httpx.Client) -> None:
    """Wait until nothing runs: one submit must not wait for the last one's end."""
    query = {"status": ["PENDING", "RUNNING"], "size": 0}
    while client.get("/runs", params=query).json()["total"]:
        time.sleep(POLL_SECONDS)


def alone() -> float:
    """Return the seconds that the interpreter needs for the script's line, by itself."""
    begun = time.perf_counter()
    command = [sys.executable, "-c", "print('first line', flush=True)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return time.perf_counter() - begun


def measured(bench: Bench, rounds: int, submits: int) -> None:
    uris = {name: bench.upload(f"{name}.py", script) for name, (_, script, _) in CASES.items()}
    taken: dict[str, list[float]] = {name: [] for name in CASES}
    seen: dict[str, set[str]] = {name: set() for name in CASES}
    limits = []
    with bench.client() as client:
        for name, (_, _, environment) in CASES.items():
            submitted(client, uris[name], environment)  # warms what is made once
        for _ in range(rounds):
            for name, (_, _, environment) in CASES.items():
                for _ in range(submits):
                    settle(client)
                    seconds, line = submitted(client, uris[name], environment)
                    taken[name].append(seconds)
                    seen[name].add(line)
            limits += [alone() for _ in range(submits)]
    for name, (goal, _, _) in CASES.items():
        report(
            name,
            ours=statistics.median(taken[name]),
            limit=statistics.median(limits),
            peers={},
            agree=seen[name] == {WANTED[name]},
            rounds=rounds,
            unit="s",
            goal=goal,
            p95=statistics.quantiles(taken[name], n=20)[-1],
            submits=len(taken[name]),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--submits", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as links, platform(**small_wheel(Path(links))) as bench:
        measured(bench, asked.rounds, asked.submits)


if __name__ == "__main__":
    main()
