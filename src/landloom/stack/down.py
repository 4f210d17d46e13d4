"""`landloom down`: end whatever of an instance lives, whoever started it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from landloom.errors import SetupProblem
from landloom.server.launchers.local import LocalLauncher
from landloom.stack.instance import Instance, Ports
from landloom.stack.processes import ProcessRecord

_UP_SECONDS = 30.0
"""What `up` gets to finish requests and end its store."""

_WORKLOAD_SECONDS = 20.0
"""A runner gives a script 3 s, then kills it."""

_NAMED_SECONDS = 5.0
"""Who takes the lock names itself in it at once."""

_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Ended:
    """What there was to end."""

    server: bool
    store: bool
    workloads: int
    left_running: int
    """Workloads that were left alone, because the caller said so or because they would not end."""


def down(data: Path, *, keep_jobs: bool = False) -> Ended:
    """End the server, the jobs and the store of the instance at `data`.

    Args:
        data: The folder of `landloom up --data`.
        keep_jobs: Leave running jobs to their runners; the next `up` adopts them.

    Raises:
        SetupProblem: No instance has ever been there, or one is up and it is not known as which
            process.
    """
    instance = Instance.at(data)
    if not instance.exists():
        raise SetupProblem(
            f"There is no Landloom instance in {instance.folder}.",
            suggestion="Name the folder given to `landloom up --data`.",
        )
    ports = Ports.read(instance.settings_file)
    store = instance.store(ports.store) if ports else None
    stored = store is not None and store.left_behind() is not None
    holder = _holder(instance)
    # First, so that nothing new is started.
    server = holder.end(grace_seconds=_UP_SECONDS) if holder else False
    workloads = [folder for folder in instance.workloads_folder.glob("*") if folder.is_dir()]
    running = asyncio.run(_running(workloads))
    ended = 0 if keep_jobs else asyncio.run(_cancel(running))
    if store is not None:
        store.end()
    return Ended(server, stored, ended, len(running) - ended)


def _holder(instance: Instance) -> ProcessRecord | None:
    """Return the `up` that lives on this folder; None where the lock says that there is none."""
    deadline = time.monotonic() + _NAMED_SECONDS
    while (holder := instance.holder()) is None and instance.is_held():
        if time.monotonic() >= deadline:
            raise SetupProblem(
                f"{instance.lock_file} is held, but does not say by which process.",
                suggestion=f"Find it (`fuser {instance.lock_file}`), end it, and try again.",
            )
        time.sleep(_POLL_SECONDS)
    return holder


async def _running(folders: list[Path]) -> list[Path]:
    launcher = LocalLauncher()
    return [folder for folder in folders if await _lives(launcher, folder)]


async def _lives(launcher: LocalLauncher, folder: Path) -> bool:
    return (await launcher.observe(folder)).state == "running"


async def _cancel(running: list[Path]) -> int:
    launcher = LocalLauncher()
    for folder in running:
        await launcher.cancel(folder)
    pending = list(running)
    deadline = time.monotonic() + _WORKLOAD_SECONDS
    while pending and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
        pending = [folder for folder in pending if await _lives(launcher, folder)]
    return len(running) - len(pending)
