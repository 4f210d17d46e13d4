import os
import stat
import sys

import psutil
import pytest
from tests.contract.launcher import LauncherContract, until

from landloom.errors import Unavailable
from landloom.runner import folder
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


def _mode(path):
    return stat.S_IMODE(path.stat().st_mode)
