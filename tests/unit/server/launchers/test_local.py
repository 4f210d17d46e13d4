import asyncio
import fcntl
import os
import stat
import sys
from contextlib import suppress
from dataclasses import replace

import psutil
import pytest
from tests.contract.launcher import LauncherContract, until

from landloom.errors import Unavailable
from landloom.runner import folder
from landloom.server.launchers import local
from landloom.server.launchers.local import LocalLauncher


class TestLocalLauncher(LauncherContract):
    @pytest.fixture
    def launcher(self):
        return LocalLauncher(grace_seconds=1)

    @pytest.fixture
    def again(self):
        return LocalLauncher(grace_seconds=1)

    async def test_keys_in_the_spec_are_for_their_owner_only(self, launcher, workload):
        work = workload("", env={"WHEROBOTS_API_KEY": "secret"})
        await launcher.start(work)
        await self.ended(launcher, work)
        assert _mode(work.directory) == 0o700
        assert {_mode(file) for file in work.directory.iterdir() if file.is_file()} == {0o600}

    async def test_collects_ended_runners(self, launcher, workload):
        work = workload("")
        await launcher.start(work)
        runner = folder.read_runner(work.directory).pid
        await self.ended(launcher, work)

        async def is_collected():
            await launcher.observe(work.directory)
            return not psutil.pid_exists(runner)

        await until(is_collected, "the collection")

    async def test_a_runner_that_cannot_start_is_told_in_its_own_words(self, workload, tmp_path):
        broken = tmp_path / "python"
        broken.write_text("#!/bin/sh\necho no such thing as a runner >&2\nexit 9\n")
        broken.chmod(0o700)
        with pytest.raises(Unavailable, match="status 9: no such thing as a runner"):
            await LocalLauncher(python=str(broken)).start(workload(""))

    async def test_a_recycled_process_id_reads_lost(self, launcher, tmp_path):
        me = psutil.Process()
        record = folder.RunnerRecord(
            pid=me.pid,
            create_time=me.create_time() - 1000,
            start_ticks=1,
            child_pid=None,
            child_create_time=None,
            child_start_ticks=None,
            started_at="2026-01-01T00:00:00+00:00",
        )
        folder.write_record(tmp_path, record)
        folder.write_spec(tmp_path, folder.Spec((sys.executable,), {}, 1))
        assert (await launcher.observe(tmp_path)).state == "lost"
        await launcher.cancel(tmp_path)
        await launcher.sweep(tmp_path)
        assert os.getpid() == me.pid

    async def test_the_runner_outlives_the_server_that_started_it(self, launcher, workload):
        work = workload("import time; print('up'); time.sleep(1); print('down')")
        await launcher.start(work)
        runner = psutil.Process(folder.read_runner(work.directory).pid)
        assert os.getsid(runner.pid) == runner.pid
        assert "WHEROBOTS_API_KEY" not in runner.environ()
        assert (await self.ended(launcher, work)).exit_code == 0

    async def test_two_servers_on_one_machine_give_no_gpu_twice(self, workload):
        sleeper = "import time; time.sleep(600)"
        works = [replace(workload(sleeper, name=each), confined=True, gpus=1) for each in "ab"]
        servers = [LocalLauncher(grace_seconds=1, gpus=2) for _ in works]
        for server, work in zip(servers, works, strict=True):
            await server.start(work)
        given = [folder.read_spec(work.directory) for work in works]
        assert {spec.env["CUDA_VISIBLE_DEVICES"] for spec in given} == {"0", "1"}
        if len(os.sched_getaffinity(0)) > 1:
            assert given[0].cores != given[1].cores
        for work in works:
            await servers[0].cancel(work.directory)
            await self.ended(servers[0], work)
        claims = works[0].directory.parent / ".claims"
        assert [path.name for path in claims.iterdir()] == [".lock"]

    async def test_a_runner_that_shows_nothing_and_is_killed_is_told_however_late(
        self, launcher, workload, monkeypatch
    ):
        monkeypatch.setattr(local, "_START_SECONDS", 0.0)
        work = workload("")
        work.directory.mkdir()
        # A runner hangs here before it has said anything: nobody reads.
        os.mkfifo(work.directory / folder.ERRORS)
        starting = asyncio.ensure_future(launcher.start(work))
        runner = await until(lambda: _child(launcher), "the runner")
        assert (await launcher.observe(work.directory)).state == "absent"
        assert not starting.done()
        (work.directory / folder.ERRORS).unlink()
        runner.kill()
        with pytest.raises(Unavailable, match="ended at once"):
            await starting

    async def test_one_that_was_refused_begins_once_the_other_is_gone(self, launcher, workload):
        work = workload("print('begun')")
        work.directory.mkdir()
        other = os.open(work.directory / folder.LOCK, os.O_RDWR | os.O_CREAT)
        fcntl.flock(other, fcntl.LOCK_EX)
        starting = asyncio.ensure_future(launcher.start(work))

        async def is_refused():
            with suppress(OSError):
                return folder.REFUSAL in (work.directory / folder.ERRORS).read_text()

        await until(is_refused, "the refusal")
        os.close(other)
        await starting
        assert (await self.ended(launcher, work)).exit_code == 0


async def _child(launcher):
    process = launcher._nursery._process
    children = psutil.Process(process.pid).children() if process is not None else []
    return next(iter(children), None)


def _mode(path):
    return stat.S_IMODE(path.stat().st_mode)
