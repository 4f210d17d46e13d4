"""Which launcher the settings and the variables of a cluster choose, and how much room there is."""

import json

import pytest
from tests.api.platform import make_settings

from landloom.errors import SetupProblem
from landloom.server.launchers.choice import choose_launchers
from landloom.server.launchers.ray import RayLauncher

HTTP = "http://127.0.0.1:9"


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    """Name a cluster that is away; what it had is remembered."""

    def cluster(*cores, **variables):
        nodes = [{"cpus": each, "memory_bytes": 8 << 30, "gpus": 0} for each in cores]
        (tmp_path / "cluster.json").write_text(json.dumps({"nodes": nodes}))
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "LANDLOOM_EXECUTOR"):
        monkeypatch.delenv(name, raising=False)
    return cluster


def settings(tmp_path, **changes):
    known = {"launcher": "ray", "cpus": None, "memory_bytes": None, "gpus": None}
    return make_settings(tmp_path, **known | changes)


def test_runs_have_the_whole_cluster_where_tiles_are_computed_elsewhere(cluster, tmp_path):
    cluster(4, 2, RAY_ADDRESS=HTTP)
    chosen = choose_launchers(settings(tmp_path))
    assert isinstance(chosen.runs, RayLauncher)
    assert (chosen.largest.cpus, chosen.together.cpus) == (4, 6)


def test_runs_leave_room_for_tiles_on_the_same_cluster(cluster, tmp_path):
    both = {"RAY_ADDRESS": "127.0.0.1:8", "RAY_API_SERVER_ADDRESS": HTTP}
    cluster(4, LANDLOOM_EXECUTOR="ray", **both)
    chosen = choose_launchers(settings(tmp_path))
    assert (chosen.largest.cpus, chosen.together.cpus) == (3, 3)


def test_a_cluster_with_no_core_beside_those_for_tiles_is_refused(cluster, tmp_path):
    both = {"RAY_ADDRESS": "127.0.0.1:8", "RAY_API_SERVER_ADDRESS": HTTP}
    cluster(1, 1, LANDLOOM_EXECUTOR="ray", **both)
    with pytest.raises(SetupProblem, match="no node has another"):
        choose_launchers(settings(tmp_path))


@pytest.mark.parametrize("launcher", ["local", "ray"])
def test_a_server_whose_tiles_have_only_a_job_server_does_not_start(cluster, tmp_path, launcher):
    cluster(4, LANDLOOM_EXECUTOR="ray", RAY_ADDRESS=HTTP)
    with pytest.raises(SetupProblem, match=f"only its job server, {HTTP}, which takes no tiles"):
        choose_launchers(settings(tmp_path, launcher=launcher))


def test_a_cluster_that_nothing_names_is_asked_for(cluster, tmp_path):
    cluster(4)
    with pytest.raises(SetupProblem, match="does not say where the cluster is"):
        choose_launchers(settings(tmp_path))
