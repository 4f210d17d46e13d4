"""Processes by identity, and the ending of whole trees of them."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from landloom.runner.cgroup import pids_in

# From <linux/prctl.h>.
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38

_LIBC: Final = ctypes.CDLL(None)
"""Loaded here: between fork and exec of a process with threads there is no loading anything."""

_SAME_START_SECONDS: Final = 2.0
"""How far two readings of one process's start may differ where only the wall clock tells it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that no later owner of its id can be taken for."""

    pid: int
    create_time: float
    start_ticks: int | None


def identify(pid: int) -> Identity | None:
    """Say who has this id now, be it a zombie; None where nobody does."""
    try:
        return Identity(pid, psutil.Process(pid).create_time(), _start_ticks(pid))
    except psutil.Error:
        return None


def is_alive(identity: Identity) -> bool:
    """Tell whether this very process still runs; a zombie does not."""
    now = identify(identity.pid)
    if now is None or not _is_same(identity, now):
        return False
    try:
        return bool(psutil.Process(identity.pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def adopt_orphans() -> bool:
    """Become the parent of every descendant whose own parent ends; False where no such thing is."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel signal the calling process when its parent ends; run in the child.

    A process that becomes another user has to ask again.
    """
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        # The parent was gone before it was asked for.
        os._exit(128 + signal.SIGKILL)


def forbid_new_rights() -> None:
    """Let no program give the calling process, or what it starts, rights that it has not."""
    if not _prctl(_PR_SET_NO_NEW_PRIVS, 1) and sys.platform == "linux":
        raise OSError(errno.EPERM, "the process could not be kept from new rights")


def stay_visible() -> None:
    """Give /proc/self to whom the calling process has become."""
    _prctl(_PR_SET_DUMPABLE, 1)


def offer_to_oom_killer() -> None:
    """Let the kernel, short of memory, choose the calling process before its supervisor."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def descendants() -> list[psutil.Process]:
    """Return every process below this one that still runs."""
    return _running(psutil.Process().children(recursive=True))


def signal_all(processes: Iterable[psutil.Process], number: int) -> None:
    """Send a signal to each; those that are gone, or recycled, are passed over."""
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)


def reap(child: subprocess.Popen[bytes]) -> None:
    """Collect what has ended, leaving the child's status to its Popen.

    A plain waitpid(-1) would take the child's status away, and Popen would then report 0.
    """
    child.poll()
    # Without waitid (macOS) there is no adopting of orphans either, so nobody else to collect.
    while hasattr(os, "waitid"):
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            return
        if ended.si_pid == child.pid and child.returncode is None:
            child.poll()
        else:
            with suppress(ChildProcessError):
                os.waitpid(ended.si_pid, os.WNOHANG)


def strays(
    marker: str,
    value: str,
    child: Identity | None = None,
    work: Path | None = None,
    group: Path | None = None,
) -> list[psutil.Process]:
    """Find what a workload left running after its runner was killed.

    Those are: processes whose environment carries `marker=value`; the session of `child`, and
    those without a terminal that stand in the folder `work`, which stay theirs even where they
    emptied their environment; those in the control group `group`; and all descendants of these.
    The calling process and its ancestors are never among them.
    """
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    session = child.pid if child is not None and _owns_session(child) else None
    folder = work.resolve() if work is not None else None
    grouped = set(pids_in(group)) if group is not None else set()
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        if (
            _carries(process, marker, value)
            or process.pid in grouped
            or (session is not None and _session_of(process.pid) == session)
            or (folder is not None and _stands_in(process, folder))
        ):
            found[process.pid] = process
            with suppress(psutil.Error):
                found.update((each.pid, each) for each in process.children(recursive=True))
    return _running(each for pid, each in found.items() if pid not in spared)


def _owns_session(child: Identity) -> bool:
    """Tell whether the child's id, as a session's, can still only mean its own session.

    The kernel gives no id away that a session bears, so a free id is safe as well.
    """
    now = identify(child.pid)
    return now is None or _is_same(child, now)


def _is_same(one: Identity, other: Identity) -> bool:
    if one.start_ticks is not None and other.start_ticks is not None:
        return one.start_ticks == other.start_ticks
    return abs(one.create_time - other.create_time) <= _SAME_START_SECONDS


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _carries(process: psutil.Process, marker: str, value: str) -> bool:
    try:
        return bool(process.environ().get(marker) == value)
    except (psutil.Error, OSError):
        return False


def _stands_in(process: psutil.Process, folder: Path) -> bool:
    try:
        # A terminal would be that of somebody looking around.
        return process.terminal() is None and Path(process.cwd()).is_relative_to(folder)
    except (psutil.Error, OSError):
        return False


def _running(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    running = []
    for process in processes:
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                running.append(process)
    return running


def _start_ticks(pid: int) -> int | None:
    """Read field 22 (starttime) of /proc/<pid>/stat; the name in field 2 may hold anything."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return int(stat.rpartition(b")")[2].split()[19])


def _prctl(option: int, argument: int) -> bool:
    if sys.platform != "linux":
        return False
    return bool(_LIBC.prctl(option, argument, 0, 0, 0) == 0)
