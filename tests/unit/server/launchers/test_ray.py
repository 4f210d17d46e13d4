"""The Ray launcher: the contract of all launchers, on a real cluster of one node."""

import sys

import pytest
from tests.contract.launcher import LauncherContract
from tests.engine.job_cluster import CORES, MEMORY_BYTES, job_cluster

from landloom.errors import SetupProblem
from landloom.server.launchers.ray import RayLauncher, measure

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def cluster():
    with job_cluster() as running:
        yield running


@pytest.fixture
def make(cluster, tmp_path):
    def make(**changes):
        settings = {"python": sys.executable, "job_python": sys.executable, "grace_seconds": 1}
        return RayLauncher(cluster.address, tmp_path, **(settings | changes))

    return make


@pytest.mark.timeout(120)
class TestRayLauncher(LauncherContract):
    @pytest.fixture
    def launcher(self, make):
        return make()

    @pytest.fixture
    def again(self, make):
        return make()


def test_a_cluster_says_what_it_has_and_is_remembered(cluster, tmp_path):
    kept = tmp_path / "cluster.json"
    size = measure(cluster.address, kept)
    assert size.largest == size.together
    assert (size.together.cpus, size.together.memory_bytes) == (CORES, MEMORY_BYTES)
    assert measure(NOBODY, kept) == size


def test_a_cluster_that_never_was_there_says_so(tmp_path):
    with pytest.raises(SetupProblem, match=f"No Ray cluster answers at {NOBODY}"):
        measure(NOBODY, tmp_path / "cluster.json")
