import pytest

from landloom.errors import InvalidInput
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
