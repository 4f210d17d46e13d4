import pytest

from landloom.errors import InvalidInput, SetupProblem
from landloom.raster.settings import EngineSettings


def test_outputs_go_to_managed_storage_where_there_is_one():
    settings = EngineSettings.from_environment({"USER_S3_PATH": "s3://landloom/org/me/"})
    assert settings.output_uri == "s3://landloom/org/me/rasterflow/"


def test_a_named_output_folder_comes_first_and_ends_in_a_slash():
    env = {"USER_S3_PATH": "s3://landloom/org/me/", "LANDLOOM_OUTPUT": "/tmp/out"}
    assert EngineSettings.from_environment(env).output_uri == "/tmp/out/"


def test_numbers_that_are_none_are_refused_by_name():
    with pytest.raises(InvalidInput, match="LANDLOOM_WORKERS='many'"):
        EngineSettings.from_environment({"LANDLOOM_WORKERS": "many"})


def test_tiles_run_here_unless_ray_is_asked_for():
    assert EngineSettings.from_environment({}).executor == "local"
    env = {"LANDLOOM_EXECUTOR": "Ray", "RAY_ADDRESS": "10.0.0.1:6379"}
    settings = EngineSettings.from_environment(env)
    assert (settings.executor, settings.ray_address) == ("ray", "10.0.0.1:6379")


def test_an_executor_that_is_none_is_refused_by_name():
    with pytest.raises(InvalidInput, match="LANDLOOM_EXECUTOR='dask'"):
        EngineSettings.from_environment({"LANDLOOM_EXECUTOR": "dask"})


def test_a_cluster_of_which_only_the_job_server_is_named_is_refused():
    env = {"LANDLOOM_EXECUTOR": "ray", "RAY_ADDRESS": "http://head:8265"}
    with pytest.raises(SetupProblem, match="takes no tiles"):
        EngineSettings.from_environment(env)
    assert EngineSettings.from_environment({**env, "LANDLOOM_EXECUTOR": "local"})
