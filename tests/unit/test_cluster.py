"""Where a Ray cluster is: two doors, two variables, and one that serves both as long as it can."""

import pytest

from landloom.cluster import job_address, sends_tiles, tile_address
from landloom.errors import SetupProblem

HTTP = "http://head:8265"


def test_jobs_go_to_the_job_server_that_is_named_or_to_the_cluster():
    assert job_address({"RAY_ADDRESS": HTTP}) == HTTP
    assert job_address({"RAY_ADDRESS": "head:6379", "RAY_API_SERVER_ADDRESS": HTTP}) == HTTP
    assert job_address({"RAY_ADDRESS": "head:6379"}) == "head:6379"
    assert job_address({"RAY_ADDRESS": ""}) is None


@pytest.mark.parametrize("address", ["head:6379", "ray://head:10001", "auto"])
def test_tiles_go_to_the_cluster(address):
    assert tile_address({"RAY_ADDRESS": address, "RAY_API_SERVER_ADDRESS": HTTP}) == address


def test_tiles_stay_on_this_machine_where_no_cluster_is_named():
    assert tile_address({}) is None


@pytest.mark.parametrize("name", ["RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"])
def test_a_job_server_takes_no_tiles(name):
    with pytest.raises(SetupProblem, match=HTTP) as caught:
        tile_address({name: HTTP})
    assert caught.value.suggestion == (
        "Set RAY_ADDRESS to the cluster itself, HEAD:6379, and RAY_API_SERVER_ADDRESS to its job"
        " server."
    )


def test_tiles_are_sent_if_the_engine_is_told_so():
    assert sends_tiles({"LANDLOOM_EXECUTOR": " Ray"})
    assert not sends_tiles({})
