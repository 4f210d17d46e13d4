"""Which launcher runs go to, and how much there is for them: this machine, or a cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Final

from landloom.cluster import job_address, sends_tiles, tile_address
from landloom.errors import SetupProblem
from landloom.server.launchers.base import Launcher
from landloom.server.launchers.isolation import Isolation
from landloom.server.launchers.local import LocalLauncher
from landloom.server.launchers.machine import Machine, this_machine
from landloom.server.settings import Settings

_LEAST_CORES: Final = 0.5
"""Of the smallest runtime."""


@dataclass(frozen=True, slots=True)
class Launchers:
    """Who starts what, and the room there is."""

    runs: Launcher
    workflows: Launcher
    """Always this machine: where a workflow's tiles are computed is its executor's choice."""
    here: Machine
    largest: Machine
    """What one run can have at most."""
    together: Machine
    """What all runs can have at a time."""
    isolation: Isolation | None = None
    """How users' workloads are kept apart; None is not at all."""


def choose_launchers(settings: Settings, isolation: Isolation | None = None) -> Launchers:
    """Return what the settings choose.

    Args:
        settings: What the operator decided.
        isolation: How users' workloads on this machine are kept apart; None is not at all.

    Raises:
        SetupProblem: It is Ray, and Ray is not installed, not named, not there, or too small; or
            tiles cannot be sent to where they are to be computed.
    """
    # Tiles are the engine's to send; but whoever starts the server is here to read what is wrong.
    tiles = sends_tiles(os.environ) and tile_address(os.environ) is not None
    here = this_machine(cpus=settings.cpus, memory_bytes=settings.memory_bytes, gpus=settings.gpus)
    local = LocalLauncher(gpus=here.gpus, cgroup=settings.cgroup, isolation=isolation)
    if settings.launcher == "local":
        return Launchers(local, local, here=here, largest=here, together=here, isolation=isolation)
    launcher, largest, together = _on_ray(settings, here, tiles=tiles)
    return Launchers(launcher, local, here=here, largest=largest, together=together)


def _on_ray(settings: Settings, here: Machine, *, tiles: bool) -> tuple[Launcher, Machine, Machine]:
    """Return the launcher of a cluster, what one run can have there, and what all of them can.

    Where tiles are sent there, too, runs leave them room: a run may wait for its own workflow.
    """
    try:
        # Seconds of import, and an extra, that only clusters need.
        from landloom.server.launchers import ray, ray_size  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name not in {"ray", "aiohttp", "requests"}:
            raise
        raise SetupProblem(
            f"LANDLOOM_LAUNCHER=ray needs the package {error.name}, which is not installed.",
            suggestion="Install it with: pip install 'landloom[ray]', or set"
            " LANDLOOM_LAUNCHER=local.",
        ) from error
    address = job_address(os.environ)
    if address is None:
        raise SetupProblem(
            "LANDLOOM_LAUNCHER=ray does not say where the cluster is.",
            suggestion="Set RAY_API_SERVER_ADDRESS to its job server, http://HEAD:8265.",
        )
    launcher = ray.RayLauncher(
        address,
        settings.data_dir,
        python=settings.ray_python,
        job_python=str(settings.job_python),
        away_seconds=settings.ray_away_seconds,
    )
    largest = together = here
    if settings.cpus is None or settings.memory_bytes is None:
        size = ray_size.measure(address, settings.data_dir / "cluster.json")
        largest = _given(size.largest, settings)
        together = _given(size.beside_tiles if tiles else size.together, settings)
        if together.cpus < _LEAST_CORES and settings.cpus is None:
            raise SetupProblem(
                "Job runs and tiles both go to a Ray cluster, where tiles keep a core of each node"
                " to themselves, and no node has another.",
                suggestion="Give the cluster a node of two cores, or set LANDLOOM_EXECUTOR=local.",
            )
        largest = replace(largest, cpus=min(largest.cpus, together.cpus))
    return launcher, largest, together


def _given(machine: Machine, settings: Settings) -> Machine:
    """Put what the operator has decided in the place of what was found."""
    decided = {
        name: value
        for name in ("cpus", "memory_bytes", "gpus")
        if (value := getattr(settings, name)) is not None
    }
    return replace(machine, **decided)
