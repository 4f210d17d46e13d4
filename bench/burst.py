"""500 short runs submitted at once: all end right, and the API goes on answering.

Submits over several connections while others read (`GET /runs`, `GET /runs/{id}`, logs) until the
last run has ended; goal: every run COMPLETED with its line, and the reads' 99th percentile under
250 ms. The limit is the same number of interpreters alone, as many at a time as the machine has
cores: seconds for all.

    python bench/burst.py [--runs 500] [--rounds 1]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import report
from bench.platforms import Bench, platform

SUBMITTERS = 16
READERS = 4
READ_PAUSE_SECONDS = 0.02
LIMIT_SECONDS = 550
SCRIPT = "import os\nprint('line of', os.environ['LANDLOOM_RUN_ID'])\n"


@dataclass
class Burst:
    """What a burst showed."""

    seconds: float = 0.0
    submit_s: list[float] = field(default_factory=list)
    read_s: list[float] = field(default_factory=list)
    right: bool = False


async def burst(bench: Bench, uri: str, runs: int) -> Burst:
    """Submit all at once, read meanwhile, and wait for the last end."""
    found = Burst()
    ids: list[str] = []
    over = asyncio.Event()
    headers = {"X-API-Key": bench.key}
    limits = httpx.Limits(max_connections=SUBMITTERS + READERS + 2)
    async with httpx.AsyncClient(
        base_url=bench.url, headers=headers, trust_env=False, timeout=60, limits=limits
    ) as client:

        async def submit(share: int) -> None:
            for _ in range(share):
                begun = time.perf_counter()
                body = {"runtime": "micro", "runPython": {"uri": uri}, "name": "burst-run"}
                answer = await client.post("/runs", json=body)
                assert answer.status_code == 201, answer.text
                found.submit_s.append(time.perf_counter() - begun)
                ids.append(answer.json()["id"])

        async def read() -> None:
            chance = random.Random(7)
            while not over.is_set():
                run_id = chance.choice(ids) if ids else None
                paths = ["/runs?size=50", "/runs?status=RUNNING"]
                paths += [f"/runs/{run_id}", f"/runs/{run_id}/logs"] if run_id else []
                begun = time.perf_counter()
                answer = await client.get(chance.choice(paths))
                found.read_s.append(time.perf_counter() - begun)
                assert answer.status_code == 200, answer.text
                await asyncio.sleep(READ_PAUSE_SECONDS)

        readers = [asyncio.create_task(read()) for _ in range(READERS)]
        begun = time.perf_counter()
        shares = [runs // SUBMITTERS + (n < runs % SUBMITTERS) for n in range(SUBMITTERS)]
        await asyncio.gather(*map(submit, shares))
        query = {"name": "burst-run", "status": ["PENDING", "RUNNING"], "size": 0}
        async with asyncio.timeout(LIMIT_SECONDS):
            while (await client.get("/runs", params=query)).json()["total"]:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        found.seconds = time.perf_counter() - begun
        over.set()
        await asyncio.gather(*readers)
        found.right = all([await ended_right(client, run_id) for run_id in ids])
    return found


async def ended_right(client: httpx.AsyncClient, run_id: str) -> bool:
    run = (await client.get(f"/runs/{run_id}")).json()
    lines = (await client.get(f"/runs/{run_id}/logs")).json()["items"]
    codes = [event["code"] for event in run["kubeApp"]["events"]]
    return (run["status"], [line["raw"] for line in lines], codes) == (
        "COMPLETED",
        [f"line of {run_id}"],
        ["APP_START_CREATION", "RUN_START_EXEC", "RUN_COMPLETE_EXEC"],
    )


def alone(runs: int) -> float:
    """Return the seconds for as many interpreters, a core each."""
    command = [sys.executable, "-c", "print('line')"]
    begun = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda _: subprocess.check_output(command), range(runs)))
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=1)
    asked = parser.parse_args()
    found, limits = [], []
    with platform() as bench:
        uri = bench.upload("burst.py", SCRIPT)
        for _ in range(asked.rounds):
            found.append(asyncio.run(burst(bench, uri, asked.runs)))
            limits.append(alone(asked.runs))
    reads = [seconds for each in found for seconds in each.read_s]
    submits = [seconds for each in found for seconds in each.submit_s]
    report(
        "burst",
        ours=statistics.median(each.seconds for each in found),
        limit=statistics.median(limits),
        peers={},
        agree=all(each.right for each in found),
        rounds=asked.rounds,
        unit="s for all",
        runs=asked.runs,
        get_p99_ms=1000 * statistics.quantiles(reads, n=100)[98],
        get_median_ms=1000 * statistics.median(reads),
        goal_get_p99_ms=250,
        gets=len(reads),
        post_p99_ms=1000 * statistics.quantiles(submits, n=100)[98],
    )


if __name__ == "__main__":
    main()
