"""Mounts in a namespace that no other process shares, and a run's own view of /opt/wherobots.

All of it is run in the child, between fork and exec. For the run's own view the folder that is
changed, /opt/wherobots or, where that is not there, /opt, is replaced by an empty memory file
system into which everything that stood in it is bound again, and the run's files besides; the
machine's own folders stay as they are. Without root a user namespace, in which the user stays who
it is, gives the right to mount; where the system allows neither, nothing is changed. See
unshare(2), mount_namespaces(7) and user_namespaces(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path
from typing import Final

PLACE: Final = Path("/opt/wherobots")

# From <linux/sched.h> and <sys/mount.h>.
_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUSER: Final = 0x10000000
_MS_RDONLY: Final = 1
_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_NOEXEC: Final = 8
_MS_REMOUNT: Final = 32
_MS_BIND: Final = 4096
_MS_REC: Final = 16384
_MS_SLAVE: Final = 1 << 19
_MNT_DETACH: Final = 2


def show_files(files: Path, place: Path = PLACE) -> None:
    """Let the calling process, and what it starts, see the files of a folder in `place`.

    Raises:
        OSError: The system does not allow it; everything is as it was.
    """
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    changed = place if place.is_dir() else place.parent
    unshare()
    # Opened before anything is mounted over it, and here: another namespace's cannot be bound.
    sources = [(file.name, os.open(file, os.O_PATH | os.O_CLOEXEC)) for file in files.iterdir()]
    before = os.open(changed, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        keep_to_oneself()
        empty(changed)
        try:
            for entry in os.scandir(name_of(before)):
                _bring_back(entry, changed / entry.name)
            place.mkdir(exist_ok=True)
            # Whatever the umask: the run may be another user's.
            place.chmod(0o755)
            for name, source in sources:
                _bind_file(name_of(source), place / name)
        except OSError:
            _libc().umount2(os.fsencode(changed), _MNT_DETACH)
            raise
    finally:
        os.close(before)
        for _, source in sources:
            os.close(source)


def unshare() -> None:
    """Enter a mount namespace; in a user namespace of our own where we may not otherwise.

    Raises:
        OSError: The system does not allow it.
    """
    user, group = os.geteuid(), os.getegid()
    libc = _libc()
    if libc.unshare(_CLONE_NEWNS) == 0:
        return
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS):
        _fail()
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def keep_to_oneself() -> None:
    """Keep here what is mounted here; what the machine mounts later still comes through."""
    _mount(None, "/", None, _MS_REC | _MS_SLAVE)


def empty(folder: Path, mode: str = "0755") -> None:
    """Replace a folder by an empty memory file system."""
    _mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, f"mode={mode}")


def bind(source: int, target: Path, *, read_only: bool = False) -> None:
    """Let what the descriptor `source` names appear at `target`, which must be there."""
    _mount(name_of(source), target, None, _MS_BIND)
    if read_only:
        _mount(None, target, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _flags_of(target))


def mount_proc(place: Path) -> None:
    """Mount a /proc that tells a user of that user's own processes alone."""
    _mount("proc", place, "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "hidepid=2")


def name_of(descriptor: int) -> str:
    """Return a path by which an open file can be named, whatever is mounted over its own."""
    return f"/proc/self/fd/{descriptor}"


def _flags_of(target: Path) -> int:
    """Return what a mount has to keep: in a user namespace nothing of it may be taken off."""
    flags = os.statvfs(target).f_flag
    return flags & (_MS_NOSUID | _MS_NODEV | _MS_NOEXEC)


def _bring_back(entry: os.DirEntry[str], target: Path) -> None:
    if entry.is_symlink():
        target.symlink_to(Path(entry.path).readlink())
    elif entry.is_dir(follow_symlinks=False):
        target.mkdir()
        _mount(entry.path, target, None, _MS_BIND | _MS_REC)
    else:
        _bind_file(entry.path, target)


def _bind_file(source: str, target: Path) -> None:
    if not target.exists():
        target.touch()
    _mount(source, target, None, _MS_BIND)


def _mount(
    source: str | None, target: str | Path, kind: str | None, flags: int, data: str | None = None
) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, kind, data)]
    if _libc().mount(
        encoded[0], os.fsencode(target), encoded[1], ctypes.c_ulong(flags), encoded[2]
    ):
        _fail()


def _fail() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
