"""What runs may have of a cluster whose cores tiles want, too."""

import json

import pytest

from landloom.errors import SetupProblem
from landloom.server.launchers.machine import Machine
from landloom.server.launchers.ray_size import ClusterSize, measure

NOBODY = "http://127.0.0.1:9"


def nodes(*cores):
    return ClusterSize(tuple(Machine(each, 4 << 30) for each in cores))


@pytest.mark.parametrize(
    ("cores", "left"),
    [((16,), 15), ((4, 2), 4), ((1,), 0), ((1, 1), 0), ((2.5, 0, 0.5), 1.5), ((), 0)],
)
def test_runs_cannot_take_a_core_of_every_node(cores, left):
    size = nodes(*cores)
    assert size.beside_tiles.cpus == left
    assert size.beside_tiles.memory_bytes == size.together.memory_bytes


def test_the_largest_of_each_kind_may_be_of_different_nodes():
    size = ClusterSize((Machine(8, 4 << 30), Machine(2, 16 << 30, 1)))
    assert size.largest == Machine(8, 16 << 30, 1)
    assert size.together == Machine(10, 20 << 30, 1)


def test_what_another_version_remembered_is_not_taken_for_a_size(tmp_path):
    kept = tmp_path / "cluster.json"
    kept.write_text(json.dumps({"largest": {}, "together": {}}))
    with pytest.raises(SetupProblem, match=f"No Ray cluster answers at {NOBODY}"):
        measure(NOBODY, kept)
