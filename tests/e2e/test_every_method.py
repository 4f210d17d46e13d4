"""Every method of `RasterflowClient` on a platform, as a notebook uses it one after the other."""

import geopandas as gpd
import numpy as np
import obstore
import pytest
import rasterio
import rioxarray  # noqa: F401 - gives arrays their .rio
import shapely
import xarray as xr
from obstore.store import from_url

from rasterflow_remote import RasterflowClient
from tests.e2e import rasters
from tests.e2e.conftest import SAMPLES
from tests.e2e.rasters import NAIP
from tests.engine.geometry_models import blob_finder
from tests.engine.tables import write_tile_index

pytestmark = pytest.mark.e2e

INN = str(SAMPLES / "aoi" / "inn_valley.geojson")
WINDOW = {"start": "2021-01-01", "end": "2022-01-01", "target_crs": 3857}


@pytest.fixture(scope="module")
def environment(platform):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in platform.connection.items():
            patch.setenv(name, value)
        yield platform.connection


@pytest.fixture(scope="module")
def client(environment):
    return RasterflowClient()


@pytest.fixture(scope="module")
def prediction(client):
    return client.predict_mosaic_recipe(INN, model_recipe="SAMPLE_FIELDS", **WINDOW)


@pytest.fixture(scope="module")
def uploaded(environment, tmp_path_factory):
    """The user's own index and rasters, in the managed storage."""
    folder = tmp_path_factory.mktemp("own")
    root = environment["USER_S3_PATH"]
    store = from_url(root)
    obstore.put(store, "own/image.tif", NAIP)
    index = write_tile_index(
        folder / "index.parquet", [NAIP], url=[f"{root}own/image.tif"], year=[2020]
    )
    obstore.put(store, "own/index.parquet", index)
    return f"{root}own/index.parquet"


@pytest.fixture(scope="module")
def own_mosaic(environment, uploaded):
    return rasters.own_mosaic(uploaded)


def opened(uri):
    return xr.open_zarr(uri)["variables"]


def test_own_rasters_become_a_mosaic_of_their_own_pixels(own_mosaic):
    cube = opened(own_mosaic)
    assert cube.band.values.tolist() == ["r", "g", "b", "ir"]
    assert cube.dtype == np.uint8
    with rasterio.open(NAIP) as file:
        theirs = file.read()
        assert cube.rio.crs == file.crs
    ours = cube.isel(time=0).values
    assert (ours > 0).mean() > 0.5
    # The pixels of the file are not square, so the grids differ; what is seen is the same.
    shares = [np.mean(image[image > 0]) for image in (ours[0], theirs[0])]
    assert abs(shares[0] - shares[1]) < 10


def test_a_prediction_becomes_polygons_with_scores(client, prediction):
    result = client.vectorize_mosaic(
        mosaic=prediction,
        features=["field"],
        threshold=0.5,
        vectorize_config={"stats": True, "min_area_m2": 2000, "close_holes": True},
    )
    frame = gpd.read_parquet(result.uri)
    assert len(frame) == result.result.count > 50
    assert frame.score_mean.between(0.5, 1).all()
    assert frame.to_crs(6933).area.min() > 1900
    assert not any(shapely.get_num_interior_rings(shapely.get_parts(frame.geometry)))
    assert result.map_url.startswith("http")


def test_two_years_become_change(client, environment):
    mosaic = client.build_mosaics(
        ["SAMPLE_PLANTING"], INN, start="2020-01-01", end="2022-01-01", target_crs=3857
    )
    assert opened(mosaic).sizes["time"] == 2
    change = opened(client.run_mosaics_change(mosaics=mosaic))
    assert change.sizes["time"] == 1
    end = change.time.values + change.time_delta.values
    assert end.astype("datetime64[D]") == np.datetime64("2021-01-01")
    # There are no scenes of 2020, so there is nothing to compare with.
    assert np.isnan(change.sel(band="sample_planting:B04").values).all()


def test_multiscales_keep_the_pixels_and_add_overviews(client, prediction):
    result = client.build_zarr_multiscales(source_store=prediction)
    np.testing.assert_array_equal(opened(result.uri).values, opened(prediction).values)
    half = xr.open_zarr(result.uri, group="2x")["variables"]
    height, width = opened(prediction).shape[-2:]
    assert half.shape[-2:] == (-(-height // 2), -(-width // 2))
    assert "zarr" in result.map_url


def test_prompts_are_answered_with_geometries(platform, client, own_mosaic, tmp_path):
    model = blob_finder(tmp_path / "finder.pt2")
    # The workflow may run as a user who cannot read this file: it finds the registered one.
    added = platform.landloom("models", "add", "finder", str(model.path))
    assert added.returncode == 0, added.stderr
    result = client.predict_mosaic_geometries(
        own_mosaic,
        str(model.path),
        features=["r", "g", "b"],
        text_prompt=["red", "green"],
        confidence_threshold=0.3,
        patch_size=16,
        clip_size=4,
    )
    frame = gpd.read_parquet(result.uri)
    assert len(frame) == result.result.count > 10
    assert set(frame.label) == {"red", "green"}
    # The covering `bbox` is there for readers to skip by; geopandas leaves it out.
    assert {"label", "bbox_score", "time"} <= set(frame.columns)
    assert frame.crs == "EPSG:4326"


def test_a_dry_run_prints_a_plan_and_makes_nothing(environment, capsys):
    result = RasterflowClient(dry_run=True).predict_mosaic_recipe(
        INN, model_recipe="SAMPLE_FIELDS", **WINDOW
    )
    plan = result.result.plan
    assert str(result) == ""
    assert plan.mosaics[0].tiles >= 1
    assert plan.bytes_to_read > 0
    assert plan.seconds > 0
    assert "scenes" in capsys.readouterr().out


def test_the_same_again_is_there_already(client, prediction):
    again = client.predict_mosaic_recipe(INN, model_recipe="SAMPLE_FIELDS", **WINDOW)
    assert again.result.cached
    assert str(again) == str(prediction)
    assert (
        not RasterflowClient(cache=False)
        .build_mosaics(["SAMPLE_PLANTING"], INN, **WINDOW)
        .result.cached
    )
