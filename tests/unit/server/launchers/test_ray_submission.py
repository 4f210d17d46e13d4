"""Handing runs in while the cluster's job server is away, slow, or refuses; a small one stands in.

How a real one takes jobs is in `test_ray`; none can be had that is as slow as this.
"""

import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import ray as ray_package
from tests.contract.launcher import log_lines, until
from tests.engine.clusters import free_port

from landloom.errors import Unavailable
from landloom.server.launchers import ray, ray_jobs
from landloom.server.launchers.base import Workload
from landloom.server.launchers.ray import RayLauncher
from landloom.server.launchers.ray_record import read_job

PIECE_BYTES = 1 << 20
PIECES = 30


class JobServer(ThreadingHTTPServer):
    """Speaks as much of Ray's job interface as is needed to hand a job in, and to stop it."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        # A network that takes little at a time.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.jobs: dict[str, str] = {}
        self.stopped: list[str] = []
        self.uploads = 0
        self.slow_seconds = 0.0
        """How long it pauses after each piece of an upload."""
        self.refuses = False
        self.mute = threading.Event()
        """Set, it takes a job and does not tell so."""

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/api/version"):
            self.answer(200, {"version": "4", "ray_version": ray_version(), "ray_commit": "x"})
        elif self.path.startswith("/api/jobs/"):
            name = self.path.split("/")[3]
            known = name in self.server.jobs
            self.answer(200 if known else 404, job(name, self.server.jobs[name]) if known else {})
        else:
            self.answer(404, {})

    def do_PUT(self):
        self.body()
        self.server.uploads += 1
        self.answer(200, {})

    def do_POST(self):
        given = json.loads(self.body() or b"{}")
        if self.path.endswith("/stop"):
            name = self.path.split("/")[3]
            self.server.stopped.append(name)
            known = name in self.server.jobs
            self.answer(200 if known else 404, {"stopped": True})
        elif self.server.refuses:
            self.answer(500, {})
        else:
            self.server.jobs[given["submission_id"]] = "PENDING"
            if self.server.mute.is_set():
                self.close_connection = True
                return
            names = dict.fromkeys(("job_id", "submission_id"), given["submission_id"])
            self.answer(200, names)

    def body(self):
        left, pieces = int(self.headers.get("Content-Length", 0)), []
        while left:
            pieces.append(self.rfile.read(min(left, PIECE_BYTES)))
            left -= len(pieces[-1])
            time.sleep(self.server.slow_seconds if self.command == "PUT" else 0)
        return b"".join(pieces)

    def answer(self, status, content):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def ray_version():
    return ray_package.__version__


def job(name, status):
    return {"type": "SUBMISSION", "submission_id": name, "status": status, "entrypoint": "x"}


@pytest.fixture
def port():
    """Where a job server will be."""
    return free_port()


@pytest.fixture
def launcher(port, tmp_path):
    return RayLauncher(f"http://127.0.0.1:{port}", tmp_path)


@pytest.fixture
def workload(tmp_path):
    def make(name="w1"):
        directory = tmp_path / name
        directory.mkdir()
        return Workload(name, directory, (sys.executable, "-c", ""), {}, 60, 1, 1 << 30)

    return make


async def waits_for(launcher, work):
    seen = await launcher.observe(work.directory)
    return seen.waits_for if seen.state == "waiting" else seen.state


async def taken(launcher, *works):
    async def look():
        found = [await waits_for(launcher, work) for work in works]
        return found == ["room on the Ray cluster"] * len(works)

    await until(look, "that Ray has taken it")


async def test_runs_wait_for_a_cluster_that_is_away(launcher, port, workload):
    works = workload(), workload("w2")
    for work in works:
        await launcher.start(work)
        assert await waits_for(launcher, work) == "the Ray cluster to answer"
    with JobServer(port) as server:
        await taken(launcher, *works)
        assert sorted(server.jobs) == ["landloom-w1", "landloom-w2"]


async def test_who_waits_for_a_cluster_can_be_cancelled(launcher, port, workload):
    work = workload()
    await launcher.start(work)
    await launcher.cancel(work.directory)

    async def look():
        return (await launcher.observe(work.directory)).state == "exited"

    await until(look, "the end")
    seen = await launcher.observe(work.directory)
    assert (seen.reason, seen.started_at) == ("cancelled", None)
    # What it may have taken without our hearing of it, it is told to stop once it answers.
    with JobServer(port) as server:

        async def is_told():
            return server.stopped

        await until(is_told, "the word to stop")
        assert server.jobs == {}


async def test_an_answer_that_is_lost_submits_nothing_twice(launcher, port, workload):
    work = workload()
    with JobServer(port) as server:
        server.mute.set()
        await launcher.start(work)
        await taken(launcher, work)
        assert (list(server.jobs), server.uploads) == (["landloom-w1"], 1)
        assert read_job(work.directory).submitted


async def test_an_upload_takes_as_long_as_it_takes(launcher, port, workload, monkeypatch):
    monkeypatch.setattr(ray_jobs, "_SUBMIT_SECONDS", 3.0)
    work = workload()
    (work.directory / "large").write_bytes(os.urandom(PIECES * PIECE_BYTES))
    with JobServer(port) as server:
        server.slow_seconds = 6 / PIECES
        await launcher.start(work)
        assert await waits_for(launcher, work) == "room on the Ray cluster"
        assert (list(server.jobs), server.uploads) == (["landloom-w1"], 1)


async def test_a_cluster_that_does_not_want_it_says_so(launcher, port, workload, monkeypatch):
    monkeypatch.setattr(ray, "_PATIENCE_SECONDS", 0.0)
    with JobServer(port) as server:
        server.refuses = True
        with pytest.raises(Unavailable, match="did not take it: Request failed"):
            await launcher.start(workload())


async def test_one_that_waited_for_a_cluster_in_vain_ends_and_its_log_says_why(
    launcher, port, workload, monkeypatch
):
    monkeypatch.setattr(ray, "_PATIENCE_SECONDS", 0.0)
    work = workload()
    await launcher.start(work)
    with JobServer(port) as server:
        server.refuses = True

        async def look():
            return (await launcher.observe(work.directory)).state == "exited"

        await until(look, "the end")
    seen = await launcher.observe(work.directory)
    assert (seen.exit_code, seen.started_at) == (126, None)
    assert "The job could not be started" in log_lines(work.directory)[0]
