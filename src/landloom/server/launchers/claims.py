"""Which of this machine's cores and GPUs each workload was given, in files beside their folders.

Not in a server's memory: several servers may start workloads of one data folder on one machine, and
none of them is to give away what another gave. A claim stands while its workload runs, and before
that while the server lives that is about to start it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from landloom.runner import folder, processes
from landloom.runner.gpus import VISIBLE
from landloom.runner.processes import Identity
from landloom.server.launchers.shares import Shares

_FOLDER: Final = ".claims"
"""Beside the workloads' own."""
_LOCK: Final = ".lock"


@dataclass(frozen=True, slots=True)
class Claim:
    """What one workload was given."""

    cpus: float
    """Cores that it counts as; it may run on more where it counts as a part of one."""
    cores: tuple[int, ...]
    gpus: tuple[int, ...]
    server: Identity | None = None
    """Who is about to start it; None where it was found running."""

    @classmethod
    def of_spec(cls, spec: folder.Spec) -> Self:
        """Return what a workload has that was started before there were claims."""
        gpus = tuple(int(each) for each in spec.env.get(VISIBLE, "").split(",") if each)
        return cls(len(spec.cores), spec.cores, gpus)


class Claims:
    """Gives workloads cores and GPUs, those that others use least; safe to share by a folder."""

    def __init__(self, cores: Iterable[int], gpus: Iterable[int]) -> None:
        self._cores, self._gpus = tuple(cores), tuple(gpus)
        self._server = processes.identify(os.getpid())

    def take(self, directory: Path, *, cpus: float, gpus: int) -> Claim:
        """Return what the workload of this folder gets: what it has, if it has been given some."""
        with _alone(directory):
            standing = dict(_standing(directory.parent))
            claim = standing.get(directory.name)
            if claim is None or claim.cpus != cpus or len(claim.gpus) != gpus:
                claim = self._choose(standing, directory.name, cpus, gpus)
            _path(directory).write_text(json.dumps(asdict(claim)))
        return claim

    def _choose(self, standing: dict[str, Claim], holder: str, cpus: float, gpus: int) -> Claim:
        cores_of, gpus_of = Shares(self._cores), Shares(self._gpus)
        for other, held in standing.items():
            if other != holder:
                cores_of.keep(other, held.cpus, held.cores)
                gpus_of.keep(other, len(held.gpus), held.gpus)
        return Claim(
            cpus, cores_of.take(holder, cpus), gpus_of.take(holder, gpus), server=self._server
        )

    def remember(self, directory: Path) -> None:
        """Note what a workload has that runs and made no claim, if it is kept to cores at all."""
        if _path(directory).exists():
            return
        with suppress(OSError, ValueError):
            claim = Claim.of_spec(folder.read_spec(directory))
            if claim.cores:
                with _alone(directory):
                    _path(directory).write_text(json.dumps(asdict(claim)))

    def free(self, directory: Path) -> None:
        """Note that a workload needs nothing any more."""
        _path(directory).unlink(missing_ok=True)


def _standing(parent: Path) -> Iterator[tuple[str, Claim]]:
    """Yield the claims that stand, by the names of their workloads; remove the others."""
    for path in list((parent / _FOLDER).iterdir()):
        if path.name == _LOCK:
            continue
        claim = _read(path)
        if claim is not None and _stands(parent / path.name, claim):
            yield path.name, claim
        else:
            path.unlink(missing_ok=True)


def _stands(directory: Path, claim: Claim) -> bool:
    if folder.read_exit(directory) is not None:
        return False
    record = folder.read_runner(directory)
    if record is not None:
        return processes.is_alive(record.runner)
    return claim.server is not None and processes.is_alive(claim.server)


def _read(path: Path) -> Claim | None:
    """Return a claim; None of one that is gone, or that a server was killed over writing."""
    try:
        fields = json.loads(path.read_bytes())
        server = fields["server"]
        return Claim(
            float(fields["cpus"]),
            tuple(fields["cores"]),
            tuple(fields["gpus"]),
            Identity(**server) if server is not None else None,
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _path(directory: Path) -> Path:
    return directory.parent / _FOLDER / directory.name


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep other processes, and other threads of this one, from the claims."""
    place = directory.parent / _FOLDER
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(place / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
