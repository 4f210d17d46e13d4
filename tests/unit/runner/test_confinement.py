"""What a run is kept to: cores, memory by the kernel, and a view of /opt/wherobots of its own."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from landloom.runner import folder, mounts
from landloom.runner.cgroup import MemoryGroup, pids_in
from landloom.runner.folder import Spec

DEADLINE_SECONDS = 120
MIB = 1 << 20


@pytest.fixture
def run(tmp_path):
    """Run code under a runner to its end; return (exit record, lines)."""
    started = []

    def start(code, *, name="w1", **limits):
        directory = tmp_path / name
        directory.mkdir()
        env = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
        env |= limits.pop("env", {})
        spec = Spec((sys.executable, "-c", code), env, 60, grace_seconds=1, **limits)
        folder.write_spec(directory, spec)
        command = [sys.executable, "-m", "landloom.runner", str(directory)]
        process = subprocess.Popen(command, start_new_session=True)
        started.append(process)
        return directory, process

    def run(code, **options):
        directory, process = start(code, **options)
        assert process.wait(DEADLINE_SECONDS) == 0
        return folder.read_exit(directory), lines(directory)

    run.start = start
    yield run
    for process in started:
        process.terminate()
        process.wait(DEADLINE_SECONDS)


def lines(directory):
    log = directory / folder.LOG
    text = log.read_text() if log.exists() else ""
    return [line.partition(" ")[2] for line in text.splitlines()]


@pytest.fixture
def group(tmp_path):
    made = MemoryGroup.make(f"test-{os.getpid()}", 64 * MIB)
    if made is None:
        pytest.skip("no control group can be written here")
    yield made
    made.remove()
    assert not made.folder.exists()


def can_mount():
    """Tell whether the system gives processes a mount namespace of their own."""
    code = "from landloom.runner import mounts; mounts.unshare()"
    tried = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    return tried.returncode == 0


class TestCores:
    def test_a_run_stays_on_its_cores(self, run):
        core = min(os.sched_getaffinity(0))
        ended, said = run(
            "import os, subprocess, sys\n"
            "print(os.sched_getaffinity(0), flush=True)\n"
            "subprocess.run([sys.executable, '-c', 'import os; print(os.sched_getaffinity(0))'])",
            cores=(core,),
        )
        assert ended.exit_code == 0
        assert said == [f"{{{core}}}"] * 2

    def test_without_cores_it_has_all(self, run):
        _, said = run("import os; print(len(os.sched_getaffinity(0)))")
        assert said == [str(len(os.sched_getaffinity(0)))]


class TestMemory:
    HUNGRY = "held = bytearray(b'x' * (600 << 20)); print('never', flush=True)"

    @pytest.mark.usefixtures("group")
    def test_the_kernel_ends_what_grows_between_two_samples(self, run):
        ended, said = run(self.HUNGRY, memory_limit=200 * MIB)
        assert (ended.reason, ended.exit_code) == ("memory", 137)
        assert "never" not in said
        assert said[-1].startswith("[landloom] out of memory: the run used ")
        assert said[-1].endswith(" of its 200 MiB")
        assert ended.peak_memory >= 200 * MIB

    @pytest.mark.usefixtures("group")
    def test_a_child_that_the_kernel_ended_ends_the_run(self, run):
        ended, said = run(
            "import subprocess, sys, time\n"
            f"print(subprocess.run([sys.executable, '-c', {self.HUNGRY!r}]).returncode)\n"
            "time.sleep(600)",
            memory_limit=200 * MIB,
        )
        assert ended.reason == "memory"
        assert any(line.startswith("[landloom] out of memory") for line in said)

    def test_a_group_that_was_handed_over_holds_it(self, run, group):
        handed = group.folder / "handed"
        # Version 2 passes a controller on only where it is told to.
        if (group.folder / "cgroup.subtree_control").exists():
            (group.folder / "cgroup.subtree_control").write_text("+memory")
        handed.mkdir()
        try:
            if (handed / "cgroup.subtree_control").exists():
                (handed / "cgroup.subtree_control").write_text("+memory")
            where = "print(open('/proc/self/cgroup').read())\n"
            ended, said = run(where + self.HUNGRY, memory_limit=32 * MIB, cgroup=str(handed))
            assert ended.reason == "memory"
            assert any(line.endswith("/handed/landloom-w1") for line in said)
            assert list(handed.glob("landloom-*")) == []
        finally:
            handed.rmdir()

    def test_without_a_group_samples_end_it(self, run, tmp_path):
        ended, said = run(
            "import time\n"
            "held = []\n"
            # It waits where no sample came in time: how much it had is then what it had at once.
            "for _ in range(20): held.append(bytearray(b'x' * (32 << 20))); time.sleep(0.05)\n"
            "time.sleep(600)\n",
            memory_limit=200 * MIB,
            cgroup=str(tmp_path / "none"),
        )
        assert ended.reason == "memory"
        assert 200 * MIB < ended.peak_memory < 1000 * MIB
        assert "of its 200 MiB" in said[-1]

    def test_leaves_no_group_behind(self, run, group):
        parent = group.folder.parent
        run("print('up')", memory_limit=200 * MIB, name="leaves-none")
        assert not (parent / "landloom-leaves-none").exists()

    def test_a_folder_that_is_no_group_stays_as_it_is(self, tmp_path):
        assert MemoryGroup.make("w", MIB, tmp_path) is None
        assert list(tmp_path.iterdir()) == []
        assert pids_in(tmp_path) == []


@pytest.mark.skipif(not can_mount(), reason="no mount namespace can be had here")
class TestDocuments:
    LOOK = (
        "import os, pathlib\n"
        "print(pathlib.Path('/opt/wherobots/config.json').read_text())\n"
        "print(sorted(os.listdir('/opt')))\n"
        "print(os.environ['LANDLOOM_DOCUMENTS'])\n"
    )

    def documents(self, tmp_path, name, text):
        files = tmp_path / name
        files.mkdir()
        (files / "config.json").write_text(text)
        return {"documents": str(files), "env": {"LANDLOOM_DOCUMENTS": str(files)}}

    def test_a_run_sees_its_own_beside_what_stands_there(self, run, tmp_path):
        before = sorted(each.name for each in Path("/opt").iterdir())
        given = self.documents(tmp_path, "d1", "one")
        ended, said = run(self.LOOK, **given)
        assert ended.exit_code == 0, said
        assert said == ["one", str(sorted({*before, "wherobots"})), given["documents"]]
        assert sorted(each.name for each in Path("/opt").iterdir()) == before

    def test_two_at_once_never_see_each_others(self, run, tmp_path):
        wait = (
            "import pathlib, time\n"
            "file = pathlib.Path('/opt/wherobots/config.json')\n"
            "print(file.read_text(), flush=True)\n"
            "while not pathlib.Path(GO).exists(): time.sleep(0.02)\n"
            "print(file.read_text())\n"
        ).replace("GO", repr(str(tmp_path / "go")))
        both = [
            run.start(wait, name=name, **self.documents(tmp_path, f"d-{name}", name))
            for name in ("a", "b")
        ]
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not all(lines(directory) for directory, _ in both):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (tmp_path / "go").touch()
        for (directory, process), name in zip(both, "ab", strict=True):
            assert process.wait(DEADLINE_SECONDS) == 0
            assert lines(directory) == [name, name]

    def test_the_folder_that_is_there_keeps_its_content(self, tmp_path):
        place = tmp_path / "opt" / "wherobots"
        (place / "kept").mkdir(parents=True)
        (place / "kept" / "file").write_text("old")
        (place / "config.json").write_text("old")
        (place / "link").symlink_to("kept")
        (tmp_path / "files").mkdir()
        (tmp_path / "files" / "config.json").write_text("new")
        code = (
            "import json, pathlib, sys; from landloom.runner import mounts\n"
            "files, place = map(pathlib.Path, sys.argv[1:])\n"
            "mounts.show_files(files, place)\n"
            "print(json.dumps([(place / 'config.json').read_text(),"
            " (place / 'link' / 'file').read_text()]))"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "files"), str(place)]
        seen = subprocess.run(command, capture_output=True, text=True, check=True)
        assert json.loads(seen.stdout) == ["new", "old"]
        assert (place / "config.json").read_text() == "old"

    @pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
    def test_a_user_without_rights_gets_them_by_a_user_namespace(self):
        code = (
            "import ctypes, os, pathlib, sys\n"
            "from landloom.runner import mounts\n"
            "os.setgid(65534); os.setuid(65534)\n"
            # As after exec: else /proc/self stays with root.
            "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n"
            "mounts.show_files(pathlib.Path(sys.argv[1]))\n"
            "print(os.geteuid(), pathlib.Path('/opt/wherobots/config.json').read_text())\n"
        )
        files = Path("/tmp") / f"landloom-documents-{os.getpid()}"
        files.mkdir()
        try:
            (files / "config.json").write_text("mine")
            seen = subprocess.run(
                [sys.executable, "-c", code, str(files)],
                check=False,
                capture_output=True,
                text=True,
            )
        finally:
            (files / "config.json").unlink()
            files.rmdir()
        if "Operation not permitted" in seen.stderr:
            pytest.skip("no user namespace can be had here")
        assert seen.stdout == "65534 mine\n", seen.stderr


def test_where_nothing_can_be_mounted_the_log_and_a_variable_name_the_folder(
    run, tmp_path, monkeypatch
):
    (tmp_path / "sitecustomize.py").write_text(
        "import errno, os, pathlib\n"
        "from landloom.runner import mounts\n"
        "def refuse(files, place=None): raise OSError(errno.EPERM, os.strerror(errno.EPERM))\n"
        "mounts.show_files = refuse\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    files = tmp_path / "files"
    files.mkdir()
    (files / "config.json").write_text("mine")
    _, said = run(
        "import os, pathlib\n"
        "print(pathlib.Path(os.environ['LANDLOOM_DOCUMENTS'], 'config.json').read_text())",
        documents=str(files),
        env={folder.DOCUMENTS: str(files)},
    )
    assert said[1] == "mine"
    assert str(mounts.PLACE) in said[0]
    assert "Operation not permitted" in said[0]
    assert str(files) in said[0]
    assert folder.DOCUMENTS in said[0]
