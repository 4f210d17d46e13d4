"""Capacity: which of the workloads that wait may start now. Pure arithmetic, no clock, no I/O.

Runs and workflows have a capacity each. A run waits for its workflow, so if both drew from one,
a machine full of waiting runs would leave no room for the workflows they wait for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from landloom.server.launchers.machine import Machine

_ROUNDING: Final = 1e-9
"""Sums of fractions of cores may miss a whole number by this."""
_CORES_PER_WORKFLOW: Final = 4


@dataclass(frozen=True, slots=True)
class Demand:
    """What one workload holds, or asks for."""

    id: str
    cpus: float
    memory_bytes: int
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much may be held at a time. None is no limit of that kind."""

    cpus: float | None = None
    memory_bytes: int | None = None
    slots: int | None = None
    gpus: int | None = None

    @classmethod
    def for_runs(cls, machine: Machine) -> Self:
        """What the machine has, counted by what each run's runtime stands for."""
        return cls(cpus=machine.cpus, memory_bytes=machine.memory_bytes, gpus=machine.gpus)

    @classmethod
    def for_workflows(cls, machine: Machine, slots: int | None = None) -> Self:
        """A number of workflows at a time; each uses all cores it finds."""
        return cls(slots=slots or max(1, int(machine.cpus) // _CORES_PER_WORKFLOW))

    def admit(self, pending: Sequence[Demand], running: Iterable[Demand]) -> list[Demand]:
        """Return those of `pending`, in their order, that may start beside `running`.

        Strictly so: once one has to wait, all behind it do. Small ones that overtook would
        keep a large one waiting for ever. One that asks for more than all there is starts alone.
        """
        held = list(running)
        admitted = []
        for demand in pending:
            if held and not self._holds([*held, demand]):
                break
            held.append(demand)
            admitted.append(demand)
        return admitted

    def _holds(self, demands: Sequence[Demand]) -> bool:
        cpus = sum(demand.cpus for demand in demands)
        memory = sum(demand.memory_bytes for demand in demands)
        gpus = sum(demand.gpus for demand in demands)
        return (
            (self.cpus is None or cpus <= self.cpus + _ROUNDING)
            and (self.memory_bytes is None or memory <= self.memory_bytes)
            and (self.gpus is None or gpus <= self.gpus)
            and (self.slots is None or len(demands) <= self.slots)
        )
