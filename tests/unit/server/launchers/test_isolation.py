"""Workloads of two users on one machine: neither reaches what is not theirs, or the runner's.

Only root may run workloads as other users, so elsewhere most of this is skipped.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from landloom.errors import SetupProblem, Unavailable
from landloom.runner import folder
from landloom.runner.seat import Seat, View
from landloom.runner.usage import read_usage
from landloom.server.launchers.base import Observation, Workload
from landloom.server.launchers.isolation import (
    Isolation,
    find_isolation,
    require_isolation,
)
from landloom.server.launchers.local import LocalLauncher
from landloom.server.settings import Settings

DEADLINE_SECONDS = 120
FIRST, LAST = 50_000, 50_020
only_root = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="only root on Linux becomes other users"
)

REACH = """
import json, os, socket, sys

def outcome(way, path):
    try:
        if way == "read":
            open(path).close()
        elif way == "list":
            os.listdir(path)
        elif way == "write":
            open(path, "a").close()
        elif way == "make":
            open(os.path.join(path, "forged"), "w").close()
        elif way == "remove":
            os.unlink(path)
        elif way == "rename":
            os.rename(path, path + ".moved")
        elif way == "replace":
            open("mine", "w").close(); os.replace("mine", path)
        elif way == "connect":
            with socket.socket(socket.AF_UNIX) as door:
                door.connect(path)
        elif way == "kill":
            os.kill(int(path), 9)
        elif way == "trace":
            os.readlink(f"/proc/{path}/cwd")
        elif way == "become":
            os.setuid(int(path))
    except (OSError, ValueError) as error:
        return type(error).__name__
    return "done"

for way, path in json.loads(sys.argv[1]):
    print(json.dumps([way, path, outcome(way, path)]), flush=True)
"""


@dataclass
class Site:
    """A platform's data folder with the means to run workloads on it."""

    data: Path
    isolation: Isolation
    python: str = sys.executable

    def __post_init__(self) -> None:
        self.launcher = LocalLauncher(grace_seconds=1, isolation=self.isolation)

    def workload(self, name: str, code: str, *arguments: str, owner: str = "ann") -> Workload:
        return Workload(
            id=name,
            directory=self.data / "workloads" / name,
            argv=(self.python, "-c", code, *arguments),
            env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"},
            timeout_seconds=DEADLINE_SECONDS,
            cpus=1,
            memory_bytes=1 << 30,
            owner=owner,
        )

    def run(self, name: str, code: str, *arguments: str, owner: str = "ann") -> list[str]:
        """Run to the end; return the lines."""
        workload = self.workload(name, code, *arguments, owner=owner)
        asyncio.run(self.launcher.start(workload))
        seen = self.ended(workload)
        found = lines(workload.directory)
        assert (seen.state, seen.exit_code) == ("exited", 0), found
        return found

    def ended(self, workload: Workload) -> Observation:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            seen = asyncio.run(self.launcher.observe(workload.directory))
            if seen.state in {"exited", "lost"}:
                return seen
            assert time.monotonic() < deadline, lines(workload.directory)
            time.sleep(0.02)

    def attempts(self, *attempts: tuple[str, object], owner: str = "ann") -> dict[str, str]:
        """Have a workload try; return what it managed and how the rest failed."""
        given = json.dumps([(way, str(path)) for way, path in attempts])
        name = f"tries-{time.monotonic_ns()}"
        told = [json.loads(line) for line in self.run(name, REACH, given, owner=owner)]
        assert len(told) == len(attempts)
        return {f"{way} {path}": said for way, path, said in told}


def lines(directory: Path) -> list[str]:
    log = directory / folder.LOG
    text = log.read_text() if log.exists() else ""
    return [line.partition(" ")[2] for line in text.splitlines()]


def runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def settings(data: Path, **changes: Any) -> Settings:
    return Settings(_env_file=None, data_dir=data, job_uids=f"{FIRST}-{LAST}", **changes)


def done(attempts: dict[str, str]) -> list[str]:
    return [what for what, said in attempts.items() if said == "done"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as `landloom up` has it, below folders that nobody else may pass."""
    return furnished(tmp_path_factory.mktemp("isolated") / "data")


def furnished(made: Path) -> Path:
    for name in ("db", "store", "store-conf", "cache", "workloads", "profile"):
        (made / name).mkdir(mode=0o700, parents=True)
    made.chmod(0o700)
    for name in ("secret", "connection.env", "store-conf/s3.json", "db/landloom.sqlite"):
        (made / name).write_text("secret")
        (made / name).chmod(0o600)
    return made


@pytest.fixture(scope="module")
def site(data: Path) -> Site:
    found = find_isolation(settings(data))
    if isinstance(found, str):
        pytest.skip(f"users cannot be kept apart here: {found}")
    return Site(data, found)


@pytest.fixture(scope="module", params=["namespace", "user"])
def kept(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Either means: the second has no view, and only modes keep users apart."""
    if request.param == "namespace":
        yield request.getfixturevalue("site")
        return
    python = Path("/usr/bin/python3")
    if not python.exists():
        pytest.skip("no interpreter that every user may run")
    # Where everybody may pass, unlike pytest's own folders.
    folder = Path(tempfile.mkdtemp(prefix="landloom-isolated-", dir="/var/tmp"))
    try:
        folder.chmod(0o711)
        made = furnished(folder / "data")
        yield Site(made, Isolation("user", made, FIRST, LAST), python=str(python))
    finally:
        shutil.rmtree(folder)


@only_root
class TestWhatAJobReaches:
    def test_it_works_in_its_folder_and_home_and_tmp(self, kept: Site) -> None:
        code = (
            "import getpass, os, pathlib, tempfile\n"
            "pathlib.Path('here').write_text('1')\n"
            "pathlib.Path.home().joinpath('kept').write_text('1')\n"
            "print(tempfile.gettempdir() in ('/tmp', os.path.abspath('../tmp')))\n"
            "print(open('/dev/stdout', 'w').write('') == 0, getpass.getuser())\n"
            "print(os.getuid() == os.getgid() == os.geteuid() > 0, os.getgroups())\n"
        )
        told = kept.run("works", code)
        assert told == ["True", "True job", "True []"]
        home = kept.run("home", "import pathlib; print((pathlib.Path.home() / 'kept').read_text())")
        assert home == ["1"]

    def test_nothing_of_the_platforms(self, kept: Site) -> None:
        names = ("", "db", "store", "store-conf", "profile", "workloads", "homes", "cache")
        folders = [kept.data / name for name in names]
        files = [kept.data / name for name in ("secret", "connection.env", "job-users.json")]
        files += [kept.data / "store-conf" / "s3.json", kept.data / "db" / "landloom.sqlite"]
        attempts = [("make", each) for each in folders]
        attempts += [(way, each) for each in files for way in ("read", "write", "remove", "rename")]
        attempts += [("read", "/etc/shadow"), ("make", "/root"), ("become", 0)]
        attempts += [("list", each) for each in folders if each.name in {"store", "store-conf"}]
        assert done(kept.attempts(*attempts)) == []

    def test_neither_another_users_workload_nor_home(self, kept: Site) -> None:
        kept.run("bens", "import pathlib; pathlib.Path('result').write_text('x')", owner="ben")
        theirs = kept.data / "workloads" / "bens"
        home = kept.isolation.home(json.loads((kept.data / "job-users.json").read_text())["ben"])
        attempts = [("list", theirs), ("make", theirs), ("read", theirs / "work" / "result")]
        attempts += [("read", theirs / "log"), ("list", theirs / "work"), ("list", home)]
        attempts += [("make", theirs / "work"), ("make", home)]
        assert done(kept.attempts(*attempts)) == []
        assert (theirs / "work" / "result").read_text() == "x"

    def test_its_own_end_and_log_it_neither_reads_nor_forges(self, kept: Site) -> None:
        code = REACH.replace(
            "for way, path in json.loads(sys.argv[1]):",
            "for way, path in [(way, os.path.join('..', name)) for name in json.loads(sys.argv[1])"
            " for way in ('read', 'write', 'remove', 'rename', 'replace')] + [('make', '..')]:",
        )
        own = ["spec.json", "runner.json", "runner.lock", "log", "exit", "cancel", "usage"]
        told = [json.loads(line) for line in kept.run("forges", code, json.dumps(own))]
        assert len(told) == 5 * len(own) + 1
        assert [each for each in told if each[2] == "done"] == []

    def test_no_other_process(self, kept: Site) -> None:
        me = os.getpid()
        attempts = [("read", f"/proc/{me}/environ"), ("list", f"/proc/{me}/fd"), ("kill", me)]
        attempts += [("trace", me), ("list", "/proc/1/root"), ("read", "/proc/1/environ")]
        assert done(kept.attempts(*attempts)) == []
        if kept.isolation.means == "namespace":
            told = kept.attempts(("read", f"/proc/{me}/cmdline"))
            assert done(told) == []

    def test_no_socket_of_the_platforms(self, kept: Site) -> None:
        import socket

        with socket.socket(socket.AF_UNIX) as door:
            short = Path("/tmp") / f"landloom-door-{os.getpid()}"
            door.bind(str(short))
            short.chmod(0o700)
            door.listen()
            try:
                assert done(kept.attempts(("connect", short))) == []
            finally:
                short.unlink()

    def test_root_cannot_be_had_back(self, kept: Site) -> None:
        told = kept.run(
            "privileges",
            "import re, pathlib\n"
            "status = pathlib.Path('/proc/self/status').read_text()\n"
            "for name in ('CapEff', 'CapPrm', 'CapInh', 'CapAmb', 'NoNewPrivs'):\n"
            "    print(name, int(re.search(name + r':\\s*(\\w+)', status)[1], 16))\n",
        )
        assert told == ["CapEff 0", "CapPrm 0", "CapInh 0", "CapAmb 0", "NoNewPrivs 1"]

    def test_what_one_leaves_in_tmp_another_does_not_see(self, kept: Site) -> None:
        leave = "import os, pathlib, tempfile\nprint(os.listdir(tempfile.gettempdir()))\n"
        kept.run("leaves", leave + "pathlib.Path(tempfile.gettempdir(), 'left').write_text('x')")
        assert "left" not in kept.run("looks", leave, owner="ben")[0]

    def test_packages_are_read_whatever_the_umask(self, kept: Site) -> None:
        overlay = kept.data / "cache" / "overlays" / "digest"
        overlay.mkdir(mode=0o700, parents=True, exist_ok=True)
        (overlay / "packed.py").write_text("X = 5")
        beside = overlay.with_name("anothers")
        beside.mkdir(mode=0o700, exist_ok=True)
        code = (
            f"import os, sys; sys.path.insert(0, {str(overlay)!r})\n"
            "import packed; print(packed.X)\n"
            "try:\n"
            f"    os.listdir({str(beside)!r})\n"
            "except OSError as error:\n"
            "    print('refused')\n"
        )
        workload = replace(kept.workload("packed", code), reads=(overlay,))
        asyncio.run(kept.launcher.start(workload))
        kept.ended(workload)
        assert lines(workload.directory) == ["5", "refused"]

    def test_its_documents_are_its_own(self, kept: Site) -> None:
        name = f"documents-{kept.isolation.means}"
        documents = kept.data / "workloads" / name / "documents"
        documents.mkdir(parents=True)
        (documents / "config.json").write_text("mine")
        (documents / "config.json").chmod(0o600)
        code = (
            "import os, pathlib\n"
            "shown, kept = pathlib.Path('/opt/wherobots'), os.environ['LANDLOOM_DOCUMENTS']\n"
            "folder = shown if shown.exists() else pathlib.Path(kept)\n"
            "print((folder / 'config.json').read_text())\n"
        )
        workload = replace(kept.workload(name, code), documents=documents)
        before = os.umask(0o077)
        try:
            # One of its own: runners have the umask of the first start.
            asyncio.run(LocalLauncher(isolation=kept.isolation).start(workload))
        finally:
            os.umask(before)
        kept.ended(workload)
        assert lines(workload.directory)[-1] == "mine"

    def test_prepared_files_are_read_and_not_changed(self, kept: Site) -> None:
        directory = kept.data / "workloads" / "prepared"
        (directory / "script").mkdir(parents=True)
        (directory / "script" / "job.py").write_text("the script")
        (directory / "script" / "job.py").chmod(0o600)
        attempts = [("read", "../script/job.py"), ("write", "../script/job.py")]
        attempts += [("make", "../script"), ("rename", "../script")]
        code = REACH.replace("json.loads(sys.argv[1])", repr(attempts))
        told = [json.loads(line)[2] == "done" for line in kept.run("prepared", code)]
        assert told == [True, False, False, False]


@only_root
class TestWhatTheRunnerStillDoes:
    TREE = (
        "import subprocess, sys, time\n"
        "code = 'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)'\n"
        "child = subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )

    def test_a_tree_of_another_user_is_ended(self, site: Site) -> None:
        workload = site.workload("tree", self.TREE)
        asyncio.run(site.launcher.start(workload))
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not lines(workload.directory):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        asyncio.run(site.launcher.cancel(workload.directory))
        seen = site.ended(workload)
        assert seen.reason == "cancelled"
        assert not runs(int(lines(workload.directory)[0]))

    def test_a_tree_goes_with_its_runner(self, site: Site) -> None:
        workload = site.workload("orphaned", self.TREE)
        asyncio.run(site.launcher.start(workload))
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not lines(workload.directory):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        record = folder.read_runner(workload.directory)
        assert record is not None
        os.kill(record.pid, 9)
        assert site.ended(workload).state == "lost"
        asyncio.run(site.launcher.sweep(workload.directory))
        assert not runs(int(lines(workload.directory)[0]))
        assert record.child_pid is not None
        assert not runs(record.child_pid)

    def test_its_memory_is_seen(self, site: Site) -> None:
        # It holds it until it was seen, however rarely a busy machine looks.
        code = (
            "import os, time\n"
            "held = bytearray(b'x' * (64 << 20))\n"
            "while not os.path.exists('seen'): time.sleep(0.05)\n"
        )
        workload = site.workload("memory", code)
        asyncio.run(site.launcher.start(workload))
        deadline = time.monotonic() + DEADLINE_SECONDS
        while all(each.memory_bytes <= 64 << 20 for each in read_usage(workload.directory)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (workload.directory / folder.WORK / "seen").touch()
        peak = site.ended(workload).peak_memory
        assert peak is not None
        assert 64 << 20 < peak < 512 << 20

    def test_a_view_that_cannot_be_had_starts_nothing(self, tmp_path: Path) -> None:
        view = View(kept=(str(tmp_path),), temporary=str(tmp_path / "absent"))
        spec = folder.Spec((sys.executable, "-c", "print('never')"), {}, 30, seat=Seat(LAST, view))
        folder.write_spec(tmp_path, spec)
        command = [sys.executable, "-m", "landloom.runner", str(tmp_path)]
        subprocess.run(command, check=True, timeout=DEADLINE_SECONDS)
        ended = folder.read_exit(tmp_path)
        assert ended is not None
        assert ended.exit_code == 126
        assert "cannot be kept apart" in lines(tmp_path)[0]


@only_root
class TestNumbers:
    def test_each_principal_has_one_for_good(self, site: Site) -> None:
        code = "import os; print(os.getuid())"
        first = site.run("first", code, owner="carl")
        assert site.run("again", code, owner="carl") == first
        assert site.run("other", code, owner="dora") != first
        again = Site(site.data, site.isolation)
        assert again.run("later", code, owner="carl") == first
        assert FIRST < int(first[0]) <= LAST

    def test_when_they_are_used_up_the_setting_is_named(self, tmp_path: Path) -> None:
        few = Isolation("user", tmp_path, FIRST, FIRST + 1)
        assert few._uid("one") == few._uid("one")
        with pytest.raises(Unavailable, match="LANDLOOM_JOB_UIDS"):
            few._uid("two")

    def test_a_file_is_copied_as_the_user_reads_it(self, site: Site, tmp_path: Path) -> None:
        site.isolation.copy("ann", Path("/etc/hostname"), tmp_path / "copy")
        assert (tmp_path / "copy").read_text() == Path("/etc/hostname").read_text()
        for closed in (Path("/etc/shadow"), site.data / "secret"):
            with pytest.raises(PermissionError):
                site.isolation.copy("ann", closed, tmp_path / "stolen")

    @pytest.mark.parametrize("special", ["device", "pipe", "folder"])
    def test_only_a_regular_file_is_copied(self, site: Site, tmp_path: Path, special: str) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        source = {"device": Path("/dev/zero"), "pipe": pipe, "folder": tmp_path}[special]
        with pytest.raises(OSError, match="no regular file"):
            site.isolation.copy("ann", source, tmp_path / "copy")
        assert not (tmp_path / "copy").exists()


class TestChoice:
    def test_it_can_be_switched_off(self, tmp_path: Path) -> None:
        off = settings(tmp_path, isolation="off")
        found = find_isolation(off)
        assert found == "LANDLOOM_ISOLATION=off"
        require_isolation(off, found)

    def test_it_can_be_required(self, tmp_path: Path) -> None:
        with pytest.raises(SetupProblem, match="cannot be isolated"):
            require_isolation(settings(tmp_path, isolation="require"), "for a reason")

    def test_a_range_that_holds_nobody_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SetupProblem, match="LANDLOOM_JOB_UIDS"):
            find_isolation(Settings(_env_file=None, data_dir=tmp_path, job_uids="5000-4000"))

    def test_on_a_cluster_there_is_none(self, tmp_path: Path) -> None:
        assert "cluster" in str(find_isolation(settings(tmp_path, launcher="ray")))

    @only_root
    def test_a_trial_leaves_nothing_behind(self, data: Path, site: Site) -> None:
        assert not list((data / "workloads").glob(".probe*"))
        assert not site.isolation.home(FIRST).exists()
