"""The data folder: its lock, its ports, its secret, its refusals."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import replace

import pytest

from landloom.errors import SetupProblem
from landloom.stack.files import private_folder, write_private
from landloom.stack.instance import Instance, Ports
from landloom.stack.ports import GRPC_OFFSET, is_free, pick, require_free
from landloom.stack.processes import ProcessRecord
from landloom.stack.secrets import MasterSecret
from landloom.stack.weed import StorePorts, WeedConfig, find_binary

HOLD = """
import sys
from pathlib import Path
from landloom.stack.instance import Instance
with Instance.at(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path):
    """A process that holds the lock of `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


class TestLock:
    def test_a_second_holder_is_refused_and_told_who_has_it(self, tmp_path, held):
        with pytest.raises(SetupProblem, match=f"in use.*process {held.pid}"), lock(tmp_path):
            pass
        assert Instance.at(tmp_path).holder() == ProcessRecord.of(held.pid)

    def test_it_is_free_after_a_kill(self, tmp_path, held):
        held.send_signal(signal.SIGKILL)
        held.wait(60)
        assert Instance.at(tmp_path).holder() is None
        with lock(tmp_path):
            assert Instance.at(tmp_path).holder() == ProcessRecord.of(os.getpid())
        assert Instance.at(tmp_path).holder() is None


def lock(folder):
    return Instance.at(folder).lock()


class TestInstance:
    def test_ports_are_kept(self, tmp_path):
        instance = Instance.at(tmp_path)
        assert not instance.exists()
        assert Ports.read(instance.settings_file) is None
        ports = Ports(1, StorePorts(master=2, volume=3, filer=4, s3=5), door=6)
        instance.keep(ports)
        assert instance.exists()
        assert Ports.read(instance.settings_file) == ports
        assert stat.S_IMODE(instance.settings_file.stat().st_mode) == 0o600

    def test_a_broken_file_names_the_way_out(self, tmp_path):
        instance = Instance.at(tmp_path)
        instance.settings_file.write_text("{}")
        with pytest.raises(SetupProblem, match="Remove that one file"):
            Ports.read(instance.settings_file)

    @pytest.mark.parametrize("name", ["it's", "a\nb", "back\\slash"])
    def test_paths_that_break_env_files_are_refused(self, tmp_path, name):
        with pytest.raises(SetupProblem, match="quote, backslash or line end"):
            Instance.at(tmp_path / name)

    def test_a_file_in_place_of_the_folder_is_refused(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(SetupProblem, match="cannot write to"):
            Instance.at(tmp_path / "file").prepare()

    def test_all_folders_are_private(self, tmp_path):
        instance = Instance.at(tmp_path / "new" / "data")
        instance.prepare()
        for folder in (instance.folder, *instance.folder.iterdir()):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700


class TestPorts:
    def test_picked_ports_are_free_and_different(self):
        ports = pick(5, with_grpc=True)
        everything = ports + [port + GRPC_OFFSET for port in ports]
        assert len(set(everything)) == 10
        assert all(is_free(port) for port in everything)
        assert max(everything) < 32768

    @pytest.mark.parametrize("offset", [0, GRPC_OFFSET])
    def test_a_taken_port_is_named_with_its_option(self, offset):
        (port,) = pick(1, with_grpc=True)
        with socket.create_server(("127.0.0.1", port + offset)):
            assert port not in pick(20, with_grpc=True)
            with pytest.raises(SetupProblem, match=f"{port + offset}.*--s3-port"):
                require_free(port, host="127.0.0.1", option="--s3-port", with_grpc=True)

    def test_a_port_without_room_for_grpc_is_refused(self):
        with pytest.raises(SetupProblem, match="up to 55535"):
            require_free(60000, host="127.0.0.1", option="--s3-port", with_grpc=True)


class TestProcessRecord:
    def test_a_reused_pid_is_another_process(self):
        mine = ProcessRecord.of(os.getpid())
        assert mine.alive()
        other = replace(mine, start_ticks=mine.start_ticks - 1)
        assert not other.alive()
        assert not other.end(grace_seconds=1)
        assert not replace(mine, start_ticks=None, create_time=mine.create_time - 60).alive()

    def test_a_clock_that_was_set_makes_no_process_another(self, tmp_path):
        mine = ProcessRecord.of(os.getpid())
        replace(mine, create_time=mine.create_time - 3600).write(tmp_path / "pid")
        assert ProcessRecord.read(tmp_path / "pid").alive()

    def test_a_record_of_before_there_were_ticks_is_read(self, tmp_path):
        mine = ProcessRecord.of(os.getpid())
        old = json.dumps({"pid": mine.pid, "create_time": mine.create_time})
        (tmp_path / "pid").write_text(old)
        assert ProcessRecord.read(tmp_path / "pid").alive()

    def test_one_that_ignores_the_request_is_killed(self):
        code = "import signal, time; signal.signal(15, 1); print('on', flush=True); time.sleep(60)"
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "on\n"
        record = ProcessRecord.of(process.pid)
        assert record.end(grace_seconds=0.2)
        assert not record.alive()
        process.wait(60)
        process.stdout.close()

    def test_it_is_read_as_written(self, tmp_path):
        mine = ProcessRecord.of(os.getpid())
        mine.write(tmp_path / "pid")
        assert ProcessRecord.read(tmp_path / "pid") == mine
        (tmp_path / "pid").write_text("nonsense")
        assert ProcessRecord.read(tmp_path / "pid") is None


class TestMasterSecret:
    def test_keys_follow_from_the_file_and_the_name(self, tmp_path):
        path = tmp_path / "secret"
        secret = MasterSecret.ensure(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        again = MasterSecret.ensure(path)
        assert again.access_key("ann") == secret.access_key("ann") != secret.access_key("ben")
        assert again.secret_key("ann") == secret.secret_key("ann") != secret.secret_key("ben")
        assert len(secret.access_key("ann")) == 20
        assert secret.value.hex() not in repr(secret)

    @pytest.mark.parametrize("content", ["", "zz", "00"])
    def test_a_broken_file_is_never_replaced(self, tmp_path, content):
        path = tmp_path / "secret"
        path.write_text(content)
        with pytest.raises(SetupProblem):
            MasterSecret.ensure(path)
        assert path.read_text() == content


class TestFiles:
    def test_a_failed_write_leaves_the_old_file_and_no_draft(self, tmp_path):
        path = tmp_path / "file"
        write_private(path, "old")
        with pytest.raises(UnicodeEncodeError):
            write_private(path, "\ud800")
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_folder_becomes_private(self, tmp_path):
        folder = tmp_path / "folder"
        folder.mkdir(mode=0o755)
        private_folder(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


class TestWeedConfig:
    def test_sockets_get_a_short_path(self, tmp_path):
        secret = MasterSecret(bytes(32))
        ports = StorePorts(1, 2, 3, 4)
        near = WeedConfig(tmp_path, tmp_path / "c", ports, secret)
        far = WeedConfig(tmp_path, tmp_path / ("c" * 100), ports, secret)
        assert near.sockets == near.config
        assert len(str(far.sockets / "filer.sock")) <= 100

    def test_the_binary_is_the_one_of_this_environment(self):
        assert find_binary().name == "weed"
