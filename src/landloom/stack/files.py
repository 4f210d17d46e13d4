"""Private files: written whole or not at all, readable by their owner alone."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from landloom.errors import SetupProblem


def write_private(path: Path, content: bytes | str, *, mode: int = 0o600) -> None:
    """Replace `path` by `content` at once: a reader sees the old file or the new one.

    Args:
        path: The file; its folder must exist.
        content: Text is written as UTF-8.
        mode: Permission bits of the file.
    """
    data = content.encode() if isinstance(content, str) else content
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).chmod(mode)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def private_file(path: Path) -> Path:
    """Make `path` a file that its owner alone may read, keeping what it holds, and return it."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    return path


def private_folder(path: Path) -> Path:
    """Make `path` a folder that its owner alone may enter, and return it.

    Raises:
        SetupProblem: It cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise SetupProblem(
            f"Landloom cannot write to {path} ({reason}).",
            suggestion="Name a folder that you may write to with --data.",
        ) from error
    return path
