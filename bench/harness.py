"""Measuring: each figure from a fresh process, variants interleaved, medians, one JSON line a case.

A benchmark is a script that names its variants and calls `main_or_variant`:

    def prepare_ours(argument: str) -> Run:
        engine = ...            # imports, compiling, opening: not timed
        return lambda: engine(argument)      # timed; may return a dict for the JSON line

    VARIANTS = {"ours": prepare_ours}

    def main() -> None:
        found = measure(__file__, {"ours": ["x"], "peer": ["x"]}, rounds=3)
        report("case", ours=wall(found["ours"]), limit=..., peers={...}, agree=True, rounds=3)

    if __name__ == "__main__":
        main_or_variant(VARIANTS, main)

`measure` starts the script again for each sample, as `python SCRIPT --variant NAME ARGUMENTS`.
Wall and CPU seconds are those of the run alone; peak memory is that of the whole process while it
runs (VmHWM, which a child does not inherit, as `ru_maxrss` is), and with `tree=True` the greatest
sum over it and its children, sampled.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "bench"
"""Where benchmarks keep data and outputs; git ignores it."""

MARK = "@sample "
TIMEOUT_SECONDS = 600
TREE_SECONDS = 0.1
"""Between two looks at the memory of a process tree."""

type Run = Callable[[], Mapping[str, Any] | None]
"""What is timed. It may return fields for its sample."""

type Prepare = Callable[..., Run]
"""Makes all that is not timed, from the variant's arguments (strings)."""


@dataclass(frozen=True)
class Sample:
    """One fresh process' figures."""

    wall_s: float
    cpu_s: float
    """User and system, of the process, its threads and the children it waited for."""
    peak_rss: int
    """Bytes."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What the run returned."""


def main_or_variant(variants: Mapping[str, Prepare], main: Callable[[], Any]) -> None:
    """Be the benchmark, or, if `--variant` asks for it, one sample of one variant."""
    if "--variant" not in sys.argv:
        sys.exit(main())
    name, *arguments = sys.argv[sys.argv.index("--variant") + 1 :]
    run = variants[name](*arguments)
    gc.collect()  # going over all that was imported takes 0.1 s, whenever it happens to be due
    with contextlib.suppress(OSError):  # where the kernel does not let us, getting ready counts too
        Path("/proc/self/clear_refs").write_text("5")
    cpu, wall = _cpu_seconds(), time.perf_counter()
    fields = run()
    wall, cpu = time.perf_counter() - wall, _cpu_seconds() - cpu
    sample = {"wall_s": wall, "cpu_s": cpu, "peak_rss": peak_rss(), "fields": dict(fields or {})}
    print(MARK + json.dumps(sample), flush=True)


def add_cases(parser: argparse.ArgumentParser, cases: Iterable[str]) -> None:
    """Let the command line name cases; none stands for all.

    argparse holds what stands for none against the choices, as one of them.
    """
    parser.add_argument("cases", nargs="*", choices=[*cases, []], default=[])


def measure(
    script: str | Path,
    variants: Mapping[str, Sequence[object]],
    *,
    rounds: int = 3,
    names: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    tree: bool = False,
) -> dict[str, list[Sample]]:
    """Sample each variant once a round, one after another, so that all see the same weather.

    Args:
        script: The benchmark's file.
        variants: Label to arguments. The label is the variant's name, unless `names` says another.
        rounds: Samples a variant.
        names: Label to the name in the script's `VARIANTS`.
        environ: Variables on top of this process' own.
        tree: Whether peak memory is that of the whole process tree.
    """
    found: dict[str, list[Sample]] = {label: [] for label in variants}
    for number in range(rounds):
        for label, arguments in variants.items():
            name = (names or {}).get(label, label)
            sample = sample_once(script, name, arguments, environ=environ, tree=tree)
            found[label].append(sample)
            print(
                f"round {number + 1} {label}: {sample.wall_s:.3f} s, cpu {sample.cpu_s:.2f} s,"
                f" {sample.peak_rss / 2**20:.0f} MiB",
                file=sys.stderr,
                flush=True,
            )
    return found


def sample_once(
    script: str | Path,
    name: str,
    arguments: Sequence[object] = (),
    *,
    environ: Mapping[str, str] | None = None,
    tree: bool = False,
) -> Sample:
    """Run one variant in a fresh process."""
    command = [sys.executable, str(script), "--variant", name, *map(str, arguments)]
    surroundings = {**os.environ, "PYTHONUNBUFFERED": "1", **(environ or {})}
    with subprocess.Popen(command, env=surroundings, stdout=subprocess.PIPE, text=True) as process:
        watch = _TreeMemory(process.pid) if tree else None
        try:
            output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        except BaseException:
            process.kill()
            raise
        peak = watch.stop() if watch else 0
    lines = [line for line in output.splitlines() if line.startswith(MARK)]
    if process.returncode or not lines:
        raise RuntimeError(f"{' '.join(command)} failed with {process.returncode}:\n{output}")
    sample = json.loads(lines[-1].removeprefix(MARK))
    return Sample(**sample | {"peak_rss": max(peak, sample["peak_rss"])})


def cold(script: str | Path, name: str, arguments: Sequence[object] = ()) -> Sample:
    """Sample a variant with nothing compiled: numba's cache is an empty folder."""
    with tempfile.TemporaryDirectory() as empty:
        return sample_once(script, name, arguments, environ={"NUMBA_CACHE_DIR": empty})


def wall(samples: Sequence[Sample]) -> float:
    """Return the median of the wall seconds."""
    return statistics.median(sample.wall_s for sample in samples)


def cpu(samples: Sequence[Sample]) -> float:
    """Return the median of the CPU seconds."""
    return statistics.median(sample.cpu_s for sample in samples)


def memory(samples: Sequence[Sample]) -> float:
    """Return the median of the peak resident bytes."""
    return statistics.median(sample.peak_rss for sample in samples)


def report(
    name: str,
    *,
    ours: float,
    limit: float,
    peers: Mapping[str, float],
    agree: bool,
    rounds: int,
    rate: bool = False,
    **extra: object,
) -> dict[str, Any]:
    """Print a case's JSON line and return it.

    Args:
        name: The case.
        ours: Seconds, or with `rate` work per second.
        limit: The same of the cheapest program that does the unavoidable part.
        peers: The same of each peer.
        agree: Whether results were equal, in the sense that the benchmark's first lines tell.
        rounds: Samples behind each median.
        rate: Whether more is better.
        extra: Further fields.
    """
    line: dict[str, Any] = {
        "name": name,
        "ours": ours,
        "limit": limit,
        "peers": dict(peers),
        "vs_limit": limit / ours if rate else ours / limit,
        "vs_peers": {key: ours / it if rate else it / ours for key, it in peers.items()},
        "agree": agree,
        "rounds": rounds,
        **extra,
    }
    print(json.dumps(_rounded(line)), flush=True)
    return line


def peak_rss() -> int:
    """Return the most bytes that this process ever held in memory."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def _cpu_seconds() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, kinds))


class _TreeMemory:
    """Samples the resident memory of a process and all below it; shared pages count each time."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._done.wait(TREE_SECONDS):
            total = 0
            try:
                tree = [self._root, *self._root.children(recursive=True)]
            except psutil.Error:
                return
            for process in tree:
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue
            self._peak = max(self._peak, total)


def _rounded(value: Any) -> Any:
    """Cut numbers to four significant digits: the rest is noise."""
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
