"""A file of this machine, copied with the rights of one of its users."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path
from typing import Final

_HEAD: Final = "/usr/bin/head"
_SECONDS: Final = 600


def copy_as(uid: int, source: Path, target: Path) -> None:
    """Copy a regular file that the operating-system user `uid` may read.

    No more is read than the file held at first, and not for ever: who owns its folder may put a
    device or a pipe in its place meanwhile.

    Raises:
        OSError: The user may not read it, it is no regular file, or it cannot be read in time.
    """
    found = source.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(source))
    with target.open("wb") as file:
        try:
            done = subprocess.run(  # noqa: S603 - a program of the system's
                [_HEAD, "-c", str(found.st_size), "--", str(source)],
                user=uid,
                group=uid,
                extra_groups=[],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.DEVNULL,
                check=False,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired as problem:
            raise TimeoutError(
                errno.ETIMEDOUT, f"it took longer than {_SECONDS} s", str(source)
            ) from problem
    if done.returncode:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(source))
