"""Which launcher runs go to, and how much there is for them: this machine, or a cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from landloom.errors import SetupProblem
from landloom.server.launchers.base import Launcher
from landloom.server.launchers.isolation import Isolation
from landloom.server.launchers.local import LocalLauncher
from landloom.server.launchers.machine import Machine, this_machine
from landloom.server.settings import Settings


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
        SetupProblem: It is Ray, and Ray is not installed, not named, or not there.
    """
    here = this_machine(cpus=settings.cpus, memory_bytes=settings.memory_bytes, gpus=settings.gpus)
    local = LocalLauncher(gpus=here.gpus, cgroup=settings.cgroup, isolation=isolation)
    if settings.launcher == "local":
        return Launchers(local, local, here=here, largest=here, together=here, isolation=isolation)
    try:
        # Seconds of import, and an extra, that only clusters need.
        from landloom.server.launchers import ray  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name not in {"ray", "aiohttp", "requests"}:
            raise
        raise SetupProblem(
            f"LANDLOOM_LAUNCHER=ray needs the package {error.name}, which is not installed.",
            suggestion="Install it with: pip install 'landloom[ray]', or set"
            " LANDLOOM_LAUNCHER=local.",
        ) from error
    address = os.environ.get("RAY_ADDRESS", "")
    if not address:
        raise SetupProblem(
            "LANDLOOM_LAUNCHER=ray does not say where the cluster is.",
            suggestion="Set RAY_ADDRESS to its job server, http://HEAD:8265.",
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
        size = ray.measure(address, settings.data_dir / "cluster.json")
        largest, together = _given(size.largest, settings), _given(size.together, settings)
    return Launchers(launcher, local, here=here, largest=largest, together=together)


def _given(machine: Machine, settings: Settings) -> Machine:
    """Put what the operator has decided in the place of what was found."""
    decided = {
        name: value
        for name in ("cpus", "memory_bytes", "gpus")
        if (value := getattr(settings, name)) is not None
    }
    return replace(machine, **decided)
