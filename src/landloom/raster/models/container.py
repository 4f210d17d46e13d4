"""A `.pt2` as the zip that it is: read without torch."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from landloom.errors import ModelRejected


@contextmanager
def unzipped(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive for reading.

    Raises:
        ModelRejected: It is none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelRejected(
            f"{path} is not a .pt2 archive: {error}.",
            suggestion="Check that the file was copied whole.",
        ) from error


def archive_version(path: Path) -> str:
    """Return the version of an archive's format.

    Raises:
        ModelRejected: It is no archive, or does not say its version.
    """
    with unzipped(path) as archive:
        for name in archive.namelist():
            if name.endswith("/archive_version"):
                return archive.read(name).decode().strip()
    raise ModelRejected(
        f"{path} is a zip, but not a .pt2 archive: it does not say its archive version.",
        suggestion="A torch.jit or state_dict file must be exported with torch.export first.",
    )
