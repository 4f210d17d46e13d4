"""What travels to a Ray node with a workload: its folder, and what it uses of the data folder."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from landloom import jobsite
from landloom.runner import folder
from landloom.runner.remote import CARRIED, MANIFEST, Manifest
from landloom.server.launchers.base import Workload

ARCHIVE: Final = "workload.tar"
_STAYS: Final = frozenset(
    {folder.RUNNER, folder.LOCK, folder.ERRORS, folder.CANCEL, folder.EXIT, folder.LOG}
    | {folder.INDEX, folder.SPEC, folder.WORK}
)
"""The runner's own files: it makes them there."""


def pack(workload: Workload, place: Path, *, home: Path, python: str, grace_seconds: float) -> None:
    """Write a workload's archive into the folder `place`.

    Args:
        workload: What is to run.
        place: An empty folder.
        home: The server's data folder: whatever the workload names in it travels along.
        python: The server's interpreter of jobs, in whose place the node's is used.
        grace_seconds: Between asking a process tree to end and ending it.
    """
    carried = _carried(workload, home)
    manifest = Manifest(
        directory=str(workload.directory),
        hook=str(jobsite.hook_folder()),
        python=python,
        carried=tuple(map(str, carried)),
    )
    # Ray stops a job by a signal to each of its processes.
    spec = replace(workload.spec(grace_seconds=grace_seconds), signalled_along=True)
    descriptor = os.open(place / ARCHIVE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
        _add(archive, MANIFEST, asdict(manifest))
        _add(archive, folder.SPEC, asdict(spec))
        for entry in sorted(workload.directory.iterdir()):
            if entry.name not in _STAYS and not entry.name.startswith("."):
                archive.add(entry, entry.name, filter=_plain)
        for number, source in enumerate(carried):
            archive.add(source, f"{CARRIED}/{number}", filter=_plain)


def _carried(workload: Workload, home: Path) -> list[Path]:
    """Return what the command and the environment name of the data folder, each thing once."""
    found: dict[Path, None] = {}
    for value in (*workload.argv, *workload.env.values()):
        for text in value.split(os.pathsep):
            path = Path(text)
            if (
                path.is_relative_to(home)
                and not path.is_relative_to(workload.directory)
                and path != home
                and path.exists()
            ):
                found[_whole(path, home)] = None
    return list(found)


def _whole(path: Path, home: Path) -> Path:
    """Return the virtual environment that a path lies in, or the path itself."""
    for parent in _up_to(path, home):
        if (parent / "pyvenv.cfg").exists():
            return parent
    return path


def _up_to(path: Path, home: Path) -> Iterator[Path]:
    for parent in path.parents:
        if parent == home:
            return
        yield parent


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave links out, which mean nothing elsewhere; files are for their owner only."""
    if not (member.isfile() or member.isdir()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _add(archive: tarfile.TarFile, name: str, value: object) -> None:
    data = json.dumps(value).encode()
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mode = 0o600
    archive.addfile(member, io.BytesIO(data))
