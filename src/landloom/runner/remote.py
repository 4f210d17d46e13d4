"""`python -m landloom.runner.remote ARCHIVE [PARENT]`: run a workload that came here as an archive.

It stands where no file of the server's can be seen: on a node of a cluster. It unpacks the archive
into a folder of its own, puts this node's paths in the place of the server's, has the usual runner
run the workload, and sends the runner's files down its standard output while they grow, from which
whoever started it copies them out. TERM asks for the end of the workload, and so does the end of
what started this program, or of what started that; if this process is killed the kernel tells the
runner. Nothing is left on the node.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Final

import psutil

from landloom.runner import folder, processes
from landloom.runner.cgroup import remove_group
from landloom.runner.frames import Sender
from landloom.runner.gpus import VISIBLE
from landloom.runner.packages import link_packages
from landloom.runner.usage import USAGE

MANIFEST: Final = "manifest.json"
"""In the archive: what lies where on the server, and under which name it travels."""
CARRIED: Final = "carried"
GROWING: Final = (folder.LOG, USAGE)
WHOLE: Final = (folder.RUNNER,)
LOST: Final = 4
"""Exit status where the runner left no word of how the workload ended."""

_PREFIX: Final = "landloom-workload-"
_YOUNG_SECONDS: Final = 60.0
"""For so long nobody may have taken the lock of a place yet."""
_LOOK_SECONDS: Final = 0.1
_FULL_PAUSE_SECONDS: Final = 0.5
_SWEEP_SECONDS: Final = 10.0
_FIRST_PROCESS: Final = 1
_NODE_VARIABLES: Final = ("RAY_ADDRESS", VISIBLE)
"""Where the cluster is as its nodes see it, and which GPUs it gave to the job."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """How the server's paths become the node's."""

    directory: str
    """The workload's own folder."""
    hook: str
    """The folder that, on PYTHONPATH, prepares a job's interpreter."""
    python: str
    """The interpreter of jobs that need no environment of their own."""
    carried: tuple[str, ...]
    """Further files and folders; the n-th travels as `carried/n`."""


class Node:
    """Runs one workload here."""

    def __init__(self, place: Path, parent: int | None = None) -> None:
        """Make one.

        Args:
            place: Folder of the unpacked workload.
            parent: By which this process was started, where that is a supervisor of Ray's. None is
                whichever process it is.
        """
        self._place = place
        self._parent = os.getppid() if parent is None else parent
        above = _parent_of(self._parent)
        # A supervisor is its raylet's child; as the first process's its raylet was gone by now.
        self._above = None if parent is not None and above == _FIRST_PROCESS else above
        self._asked = False
        self._runner: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Run the workload to its end, everything sent; return the exit status to end with."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_end_signal)
        sender = Sender(self._place, _write_patiently, growing=GROWING, whole=WHOLE)
        runner = self._start()
        self._runner = runner
        if self._asked:
            runner.terminate()
        while runner.poll() is None:
            sender.send()
            if not self._asked and self._is_orphaned():
                self._end_orphaned()
            time.sleep(_LOOK_SECONDS)
        record = folder.read_exit(self._place)
        if record is None:
            self._sweep()
        sender.send()
        if record is None:
            return LOST
        self._send_exit(record)
        return 0

    def _start(self) -> subprocess.Popen[bytes]:
        me = os.getpid()
        return subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            [sys.executable, "-P", "-m", "landloom.runner", str(self._place)],
            cwd=self._place,
            stdin=subprocess.DEVNULL,
            # Not a session of ours: who kills that must leave the runner alive to clean up.
            start_new_session=True,
            preexec_fn=lambda: processes.end_with_parent(  # noqa: PLW1509 - one thread only
                me, signal.SIGTERM
            ),
        )

    def _send_exit(self, record: folder.ExitRecord) -> None:
        if self._asked and record.reason == "exited":
            # The whole tree is asked to end at once; the script may have heeded before its runner.
            record = replace(record, reason="cancelled")
        told = self._place / "told"
        told.mkdir()
        (told / folder.EXIT).write_text(json.dumps(asdict(record)))
        Sender(told, _write_patiently, growing=(), whole=(folder.EXIT,)).send()

    def _sweep(self) -> None:
        """Kill what a runner that was killed left behind."""
        record = folder.read_runner(self._place)
        marker = folder.read_spec(self._place).env.get(folder.MARKER, "")
        group = Path(record.cgroup) if record is not None and record.cgroup is not None else None
        deadline = time.monotonic() + _SWEEP_SECONDS
        work = self._place / folder.WORK
        while left := processes.strays(folder.MARKER, marker, None, work, group):
            processes.signal_all(left, signal.SIGKILL)
            if time.monotonic() >= deadline:
                break
            time.sleep(_LOOK_SECONDS)
        if group is not None:
            remove_group(group)

    def _is_orphaned(self) -> bool:
        """Tell whether the supervisor is gone, or the raylet, which it may outlive by minutes."""
        return os.getppid() != self._parent or _parent_of(self._parent) != self._above

    def _end_orphaned(self) -> None:
        """End the workload as the cluster would: what started it is gone, and so is its reader."""
        self._asked = True
        processes.signal_all(processes.descendants(), signal.SIGTERM)

    def _on_end_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        if self._runner is not None:
            with suppress(ProcessLookupError):
                self._runner.terminate()


def _parent_of(pid: int) -> int | None:
    """Return a process's parent; None where the process is gone."""
    try:
        return int(psutil.Process(pid).ppid())
    except psutil.NoSuchProcess:
        return None


def unpack(archive: Path, place: Path) -> None:
    """Unpack a workload into the empty folder `place`, and make it at home on this node."""
    with tarfile.open(archive) as packed:
        packed.extractall(place, filter="data")
    fields = json.loads((place / MANIFEST).read_text())
    manifest = Manifest(**{**fields, "carried": tuple(fields["carried"])})
    homes = {
        manifest.directory: str(place),
        manifest.hook: str(Path(__file__).parents[1] / "jobsite" / "hook"),
    }
    for number, source in enumerate(manifest.carried):
        target = place / CARRIED / str(number)
        homes[source] = str(target)
        if (target / "pyvenv.cfg").exists():
            _settle(target)
    for conf in place.rglob("*.conf"):
        conf.write_text(_moved(conf.read_text(), homes))
    spec = folder.read_spec(place)
    environment = {name: _moved(value, homes) for name, value in spec.env.items()}
    argv = tuple(_moved(each, homes) for each in spec.argv)
    if argv[0] == manifest.python:
        argv = (sys.executable, *argv[1:])
        path = environment.get("PATH", os.defpath)
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), path])
    environment |= {name: os.environ[name] for name in _NODE_VARIABLES if name in os.environ}
    documents = _moved(spec.documents, homes) if spec.documents is not None else None
    folder.write_spec(place, replace(spec, argv=argv, env=environment, documents=documents))


def clear_left(where: Path) -> None:
    """Remove what killed predecessors left in a folder of temporary files: it holds keys."""
    for place in where.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if place.stat().st_mtime > time.time() - _YOUNG_SECONDS:
                continue
            # Held by whoever works there: this program, or a runner that it left.
            with _taken(place), _taken(place / folder.LOCK):
                shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _taken(path: Path) -> Iterator[None]:
    """Hold a lock on a file or folder.

    Raises:
        BlockingIOError: Another process holds it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _settle(environment: Path) -> None:
    """Give a virtual environment that travelled without its links this node's Python."""
    base = Path(getattr(sys, "_base_executable", sys.executable))
    for name in ("python", "python3"):
        link = environment / "bin" / name
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(base)
    (environment / "pyvenv.cfg").write_text(
        f"home = {base.parent}\ninclude-system-site-packages = false\n"
    )
    for site in environment.glob("lib/python*/site-packages"):
        link_packages(site)


def _moved(text: str, homes: Mapping[str, str]) -> str:
    for source in sorted(homes, key=len, reverse=True):
        text = text.replace(source, homes[source])
    return text


def _write_patiently(data: bytes) -> None:
    """Write all of it; a full disk may have room again in a moment."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(sys.stdout.fileno(), view) :]
        except OSError:
            time.sleep(_FULL_PAUSE_SECONDS)


def main(arguments: list[str]) -> int:
    """Run; 0 where the workload was run and told, whatever came of it.

    Args:
        arguments: Path of the archive, and the process by which this one was started: its end is
            the workload's, and it may end before there is a program here to look who it is.
    """
    archive: Any = Path(arguments[0]).absolute()
    parent = int(arguments[1]) if len(arguments) > 1 else None
    clear_left(Path(tempfile.gettempdir()))
    place = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        with _taken(place):
            unpack(archive, place)
            archive.unlink()
            return Node(place, parent).run()
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
