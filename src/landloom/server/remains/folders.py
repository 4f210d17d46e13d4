"""The folder of a workload that has ended: its log, figures and end stay, all else goes.

Whatever runs goes on undisturbed, since nothing is removed where a runner, or who else writes the
log, still holds it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from landloom.runner import folder
from landloom.runner.usage import USAGE
from landloom.server.launchers.ray_record import JOB
from landloom.server.workflows.folder import PROGRESS

_KEPT: Final = frozenset(
    {
        *(folder.LOG, folder.INDEX, USAGE),
        *(folder.EXIT, folder.RUNNER, folder.LOCK, folder.ERRORS, folder.CANCEL, JOB),
    }
)
"""What is read of an ended workload, and by what it is known to have ended."""
_KEPT_OF_WORK: Final = frozenset({PROGRESS})
"""Of a workflow: its events are told to who asks late."""


def clear(directory: Path, *, is_workflow: bool) -> bool:
    """Remove what an ended workload needs no more, its keys before all else.

    Returns:
        Whether that is done; False while its runner, or who else writes its log, is still there.

    Raises:
        OSError: Something cannot be removed.
    """
    with _undisturbed(directory) as free:
        if not free:
            return False
        for each in sorted(directory.iterdir(), key=lambda path: path.name != folder.SPEC):
            if is_workflow and each.name == folder.WORK:
                _remove_in(each, but=_KEPT_OF_WORK)
            elif each.name not in _KEPT:
                _remove(each)
    return True


def remove(directory: Path) -> bool:
    """Remove the folder of an ended workload, log and all; see `clear`."""
    with _undisturbed(directory) as free:
        if free:
            _remove(directory)
    return free


def remove_left(parent: Path, prefix: str, *, before: float) -> None:
    """Remove folders of this prefix that nobody works in, from before an instant in Unix seconds.

    A server that is killed leaves what it would have removed itself.
    """
    with suppress(FileNotFoundError):
        for entry in list(os.scandir(parent)):
            with suppress(OSError):
                if not entry.name.startswith(prefix) or entry.stat().st_mtime >= before:
                    continue
                remove(Path(entry.path))


@contextmanager
def _undisturbed(directory: Path) -> Iterator[bool]:
    """Keep runners out, and who writes the log; yield whether none is in."""
    held: list[int] = []
    try:
        yield all(_take(directory / name, held) for name in (folder.LOCK, folder.LOG))
    finally:
        for descriptor in held:
            os.close(descriptor)


def _take(path: Path, held: list[int]) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    held.append(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_in(directory: Path, *, but: Collection[str]) -> None:
    for each in list(directory.iterdir()):
        if each.name not in but:
            _remove(each)


def _remove(path: Path) -> None:
    """Remove a file, a link or a folder; no link in it is followed."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except PermissionError:
        # A script may close its own folders, to us as well where it ran as we do.
        _open_up(path)
        shutil.rmtree(path)


def _open_up(path: Path) -> None:
    path.chmod(0o700)
    for root, names, _ in os.walk(path):
        for name in names:
            if not (each := Path(root, name)).is_symlink():
                each.chmod(0o700)
