"""What a Ray cluster has to give to runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ray.util.state import list_nodes

from landloom.errors import SetupProblem
from landloom.runner import folder
from landloom.server.launchers.machine import Machine


@dataclass(frozen=True, slots=True)
class ClusterSize:
    """The nodes of a cluster."""

    nodes: tuple[Machine, ...]

    @property
    def largest(self) -> Machine:
        """What one workload can have: the largest of each kind on a node."""
        return self._machine(max)

    @property
    def together(self) -> Machine:
        """What all nodes have."""
        return self._machine(sum)

    @property
    def beside_tiles(self) -> Machine:
        """What runs may have together, so that a tile finds a core wherever Ray puts the runs.

        A tile needs a whole core of some node. Runs that leave no node one hold more than all but
        one core of each; they may not hold that much.
        """
        return replace(self.together, cpus=sum(max(0.0, node.cpus - 1.0) for node in self.nodes))

    def _machine(self, combine: Callable[[list[Any]], Any]) -> Machine:
        def of(name: str) -> Any:
            return combine([getattr(node, name) for node in self.nodes] or [0])

        return Machine(max(0.5, of("cpus")), of("memory_bytes"), of("gpus"))


def measure(address: str, remembered: Path) -> ClusterSize:
    """Ask a cluster what its nodes have; one that is away is as large as it was.

    Args:
        address: Of the cluster's job server.
        remembered: A file that keeps the last answer.

    Raises:
        SetupProblem: It does not answer, and never has.
    """
    try:
        nodes: Any = list_nodes(address=address, detail=True, filters=[("state", "=", "ALIVE")])
    except Exception as problem:
        known = json.loads(remembered.read_bytes()) if remembered.exists() else {}
        if "nodes" in known:
            return ClusterSize(tuple(Machine(**node) for node in known["nodes"]))
        raise SetupProblem(
            f"No Ray cluster answers at {address}: {str(problem).strip().splitlines()[0]}",
            suggestion="Start it, correct RAY_API_SERVER_ADDRESS or RAY_ADDRESS, or set"
            " LANDLOOM_CPUS and LANDLOOM_MEMORY_BYTES to go without asking.",
        ) from problem
    size = ClusterSize(tuple(_node(node.resources_total) for node in nodes))
    folder.write_json(remembered, asdict(size))
    return size


def _node(resources: dict[str, float]) -> Machine:
    return Machine(
        cpus=resources.get("CPU", 0.0),
        memory_bytes=int(resources.get("memory", 0.0)),
        gpus=int(resources.get("GPU", 0.0)),
    )
