"""The cache and dry runs through a server: what a script sees of them, and where they lie."""

import os

import pytest
import s3fs

from rasterflow_remote import RasterflowClient
from tests.engine.workflows import PLACE

pytestmark = pytest.mark.e2e

# A window of its own: no other test makes this mosaic on the shared platform.
WINDOW = {"start": "2021-01-01", "end": "2021-12-30", "target_crs": 32633}
DATASETS = ["SAMPLE_PLANTING"]


@pytest.fixture
def connected(platform, monkeypatch):
    for name, value in platform.connection.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("connected")
def test_the_second_identical_call_is_a_hit(capsys):
    first = RasterflowClient().build_mosaics(DATASETS, PLACE, **WINDOW)
    assert not first.result.cached
    capsys.readouterr()
    again = RasterflowClient().build_mosaics(DATASETS, PLACE, **WINDOW)
    told = capsys.readouterr().out
    assert again == first
    assert again.result.cached
    assert again.mosaic_index_uri == first.mosaic_index_uri
    assert "from the cache" in told
    assert "COMPLETED (cached)" in told
    assert RasterflowClient(cache=False).build_mosaics(DATASETS, PLACE, **WINDOW) != first
    # In the caller's own folder: users never share.
    storage = s3fs.S3FileSystem(profile="default")
    assert storage.find(f"{os.environ['USER_S3_PATH']}rasterflow/cache/")
    storage.rm(first, recursive=True)
    rebuilt = RasterflowClient().build_mosaics(DATASETS, PLACE, **WINDOW)
    assert not rebuilt.result.cached
    # Changed in place, to the same size.
    storage.invalidate_cache()
    shard = f"{rebuilt}/variables/c/0/0/0/0"
    storage.pipe(shard, storage.cat(shard)[::-1])
    anew = RasterflowClient().build_mosaics(DATASETS, PLACE, **WINDOW)
    assert not anew.result.cached
    assert anew != rebuilt


@pytest.mark.usefixtures("connected")
def test_a_dry_run_prints_its_plan_and_makes_nothing(capsys):
    client = RasterflowClient(dry_run=True)
    planned = client.build_and_predict_mosaic_recipe(PLACE, model_recipe="SAMPLE_FIELDS", **WINDOW)
    told = capsys.readouterr().out
    assert planned == ""
    assert planned.result.plan.patches > 0
    for words in ("EPSG:32633", "SAMPLE_HARVEST", "fields.pt2", "Nothing was run."):
        assert words in told
