"""Where a workload sits on this machine: as whom it runs, and what of the file system it sees.

A view is a mount namespace of the workload's own. In it /tmp, /var/tmp and /dev/shm are private,
/proc tells of the user's own processes alone, some folders are empty, and what the workload needs
of those is bound back into its own place. All of it is entered between fork and exec, by root, who
then becomes the user for good. See mount_namespaces(7), proc(5) on `hidepid`, credentials(7).
"""

from __future__ import annotations

import errno
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from landloom.runner import mounts
from landloom.runner.processes import forbid_new_rights, stay_visible

PRIVATE: Final = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - made private, not used
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - made private, not used
_USERS: Final = Path("/etc/passwd")
_PROC: Final = Path("/proc")
_OWN_HIDING: Final = (5, 8)
"""From this kernel on each mount of /proc hides on its own, not for the whole machine."""


@dataclass(frozen=True, slots=True)
class View:
    """What of the file system a workload sees. All paths are absolute."""

    emptied: tuple[str, ...] = ()
    """Folders of which only what `shown` and `kept` name is there."""
    shown: tuple[str, ...] = ()
    """Files and folders to read."""
    kept: tuple[str, ...] = ()
    """Folders to read and write, as far as their modes let the user."""
    temporary: str = ""
    """Folder that is to be /tmp and /var/tmp."""
    users: str = ""
    """File that is to be /etc/passwd; empty leaves it as it is."""

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Return the view that a spec's JSON holds."""
        return cls(
            emptied=tuple(fields["emptied"]),
            shown=tuple(fields["shown"]),
            kept=tuple(fields["kept"]),
            temporary=fields["temporary"],
            users=fields["users"],
        )


@dataclass(frozen=True, slots=True)
class Seat:
    """As whom a workload runs, and what it sees."""

    uid: int
    """Of a user and of a group of that number."""
    view: View | None = None
    """None is what every user of the machine sees."""

    @classmethod
    def of(cls, fields: Mapping[str, Any] | None) -> Self | None:
        """Return the seat that a spec's JSON holds."""
        if fields is None:
            return None
        view = fields.get("view")
        return cls(int(fields["uid"]), View.of(view) if view else None)

    def see(self) -> None:
        """Let the calling process, which is root's, see the view and no more.

        Raises:
            OSError: The system does not allow it.
        """
        if self.view is not None:
            _enter(self.view)

    def become(self) -> None:
        """Become the user, with no right of root's left and none to be gained.

        Raises:
            OSError: The system does not allow it.
        """
        os.setgroups([])
        os.setresgid(self.uid, self.uid, self.uid)
        os.setresuid(self.uid, self.uid, self.uid)
        forbid_new_rights()
        # As after exec: /proc/self would stay with root until then.
        stay_visible()


def _enter(view: View) -> None:
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    with ExitStack() as stack:
        # Opened before anything is mounted over it, and in the namespace it is bound in.
        mounts.unshare()
        mounts.keep_to_oneself()
        found = {
            path: _open(stack, path) for path in (*view.kept, *view.shown) if os.path.lexists(path)
        }
        temporary = _open(stack, view.temporary)
        users = _open(stack, view.users) if view.users else None
        _hide_processes()
        for place in PRIVATE:
            if place.is_dir() and not place.is_symlink():
                mounts.bind(temporary, place)
        if _SHARED_MEMORY.is_dir():
            mounts.empty(_SHARED_MEMORY, mode="1777")
        covered = [*PRIVATE]
        for folder in sorted(map(Path, view.emptied), key=_depth):
            if not _lies_in(folder, covered):
                mounts.empty(folder)
                covered.append(folder)
        for path, source in sorted(found.items(), key=lambda each: _depth(Path(each[0]))):
            if _lies_in(Path(path), covered):
                _make_place(Path(path), is_folder=os.path.isdir(mounts.name_of(source)))  # noqa: PTH112
                mounts.bind(source, Path(path), read_only=path in view.shown)
        if users is not None:
            mounts.bind(users, _USERS, read_only=True)


def _open(stack: ExitStack, path: str) -> int:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    return descriptor


def _hide_processes() -> None:
    """Let /proc tell of the user's own processes; where it cannot, their rights protect others."""
    major, minor = platform.release().split(".")[:2]
    if (int(major), int("".join(filter(str.isdigit, minor[:3])) or 0)) < _OWN_HIDING:
        return
    with suppress(OSError):
        mounts.mount_proc(_PROC)


def _make_place(path: Path, *, is_folder: bool) -> None:
    """Make what something is bound to, and the folders above it, for everybody to pass."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        if each == path and not is_folder:
            each.touch()
        else:
            each.mkdir()
        each.chmod(0o755)


def _lies_in(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _depth(path: Path) -> int:
    return len(path.parts)
