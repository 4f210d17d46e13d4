"""What latency costs a mosaic: scenes over HTTP, each answer 30 ms late or at once, and from disk.

    python bench/mosaic_remote.py

Scenes and workflow are those of `mosaic.py`, two workers. The server is a process of its own, on
this machine. `limit` is the same over HTTP without the added latency.
"""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from harness import cpu, main_or_variant, measure, report, wall
from mosaic import OUT, ROUNDS, SIDE, THREADS, mosaic_pixels, prepare_ours
from scenes import CATALOG, DROPPED, bench_scenes

LATENCY_SECONDS = 0.03


def main() -> None:
    """Measure what latency costs over HTTP."""
    with _server(0.0) as near, _server(LATENCY_SECONDS) as far:
        catalogs = {name: _catalog(name, url) for name, url in {"near": near, "far": far}.items()}
        found = measure(
            __file__,
            {
                "disk": ["32633", SIDE, THREADS, "", "disk"],
                **{name: ["32633", SIDE, THREADS, path, name] for name, path in catalogs.items()},
            },
            rounds=ROUNDS,
            names=dict.fromkeys(("disk", "near", "far"), "ours"),
        )
    equal = all(
        np.array_equal(mosaic_pixels(f"{name}-32633"), mosaic_pixels("disk-32633"), equal_nan=True)
        for name in catalogs
    )
    near_s, far_s = wall(found["near"]), wall(found["far"])
    report(
        "mosaic_remote", ours=far_s, limit=near_s, peers={}, agree=equal, rounds=ROUNDS,
        latency_s=LATENCY_SECONDS, disk=wall(found["disk"]), vs_disk=near_s / wall(found["disk"]),
        cpu_s=cpu(found["far"]), limit_is="the same over HTTP without the added latency",
    )  # fmt: skip


def _catalog(name: str, url: str) -> str:
    path = OUT / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = CATALOG.format(drop=list(DROPPED))
    path.write_text(text.replace('"items.json"', f'"{url}/items.json"'))
    return str(path)


@contextmanager
def _server(latency: float) -> Iterator[str]:
    """Serve the scenes from a process of its own, each answer `latency` seconds late."""
    command = [sys.executable, __file__, "--serve", str(bench_scenes()), str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


class _Files(http.server.BaseHTTPRequestHandler):
    """Ranges of files, straight from the page cache."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536
    folder = Path()
    latency = 0.0

    def do_GET(self) -> None:
        time.sleep(self.latency)
        path = self.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        size = path.stat().st_size
        wanted = self.headers.get("Range", f"bytes=0-{size - 1}").removeprefix("bytes=")
        low, high = wanted.split("-")
        start, end = int(low), min(int(high or size - 1), size - 1)
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(end + 1 - start))
        self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        self.send_header("Last-Modified", "Thu, 01 Jun 2023 10:00:00 GMT")
        self.end_headers()
        self.wfile.flush()
        with path.open("rb") as file:
            while start <= end:
                start += os.sendfile(
                    self.connection.fileno(), file.fileno(), start, end + 1 - start
                )

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


def _serve(folder: str, latency: str) -> None:
    _Files.folder, _Files.latency = Path(folder), float(latency)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    if "--serve" in sys.argv:
        _serve(*sys.argv[2:])
    else:
        main_or_variant({"ours": prepare_ours}, main)
