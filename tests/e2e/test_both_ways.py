"""The same call in this process and on a server: what it makes and what it says is the same."""

import math
import re

import geopandas as gpd
import numpy as np
import obstore
import pytest
import rasterio
import xarray as xr
from affine import Affine
from obstore.store import from_url
from shapely.geometry import box

from landloom.errors import InvalidInput
from rasterflow_remote import RasterflowClient
from tests.e2e.conftest import samples_environment
from tests.engine.tables import write_tile_index
from vtiles import show_pmtiles

pytestmark = pytest.mark.e2e

WINDOW = {"start": "2021-01-01", "end": "2022-01-01"}
CORNER = (5_355_000, 360_000)
"""North and west of the own raster, metres of EPSG:32633."""
SIDE = 48
PLACE = gpd.GeoDataFrame(
    geometry=[box(CORNER[1], CORNER[0] - 10 * SIDE, CORNER[1] + 10 * SIDE, CORNER[0])], crs=32633
)
MODEL = {"model_path": "m.pt2", "patch_size": 32, "clip_size": 4, "features": ["a"]}


@pytest.fixture(scope="module")
def both(platform):
    """A client of this process and one of the server, over the same storage."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (samples_environment() | platform.connection).items():
            patch.setenv(name, value)
        there = RasterflowClient(cache=False)
        patch.delenv("LANDLOOM_URL")
        yield RasterflowClient(cache=False), there


@pytest.fixture(scope="module")
def index(both, platform, tmp_path_factory):
    """An index of one raster of scores, with pixels that have none."""
    file = tmp_path_factory.mktemp("scores") / "scores.tif"
    scores = np.linspace(0, 1, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    scores[10:20, 10:20] = np.nan
    said = {"driver": "GTiff", "count": 1, "width": SIDE, "height": SIDE, "dtype": "float32"}
    place = Affine(10, 0, CORNER[1], 0, -10, CORNER[0])
    with rasterio.open(file, "w", crs="EPSG:32633", transform=place, **said) as raster:
        raster.write(scores, 1)
    root = platform.connection["USER_S3_PATH"]
    store = from_url(root)
    obstore.put(store, "both/scores.tif", file)
    table = write_tile_index(
        file.with_suffix(".parquet"), [file], url=[f"{root}both/scores.tif"], year=[2020]
    )
    obstore.put(store, "both/index.parquet", table)
    return f"{root}both/index.parquet"


@pytest.fixture(scope="module")
def mosaics(both, index):
    """The mosaic of the index, made either way."""
    return [
        client.build_gti_mosaics(
            index,
            PLACE,
            ["score"],
            location_field="url",
            time_column="year",
            nodata=float("nan"),
        )
        for client in both
    ]


def test_nodata_may_be_no_number(mosaics):
    here, there = (xr.open_zarr(mosaic)["variables"].values for mosaic in mosaics)
    assert np.isfinite(here).sum() == SIDE * SIDE - 100
    np.testing.assert_array_equal(here, there)


def test_a_frame_in_the_mosaics_crs_has_its_exact_bounds_or_at_least_the_same(mosaics):
    here, there = (xr.open_zarr(mosaic) for mosaic in mosaics)
    assert here.x.identical(there.x)
    assert here.y.identical(there.y)


@pytest.mark.parametrize("least", [np.float32(1e9), np.int64(500)], ids=["none", "some"])
def test_polygons_are_the_same_also_if_there_are_none(both, mosaics, least, capsys):
    config = {"pmtiles": np.bool_(True), "stats": True, "min_area_m2": least}
    made = [
        client.vectorize_mosaic(mosaics[0], ["score"], 0.25, vectorize_config=config)
        for client in both
    ]
    here, there = (gpd.read_parquet(each.uri) for each in made)
    assert here.equals(there)
    assert here.empty == (least > 1e6)
    counts = [show_pmtiles(each.pmtiles_uri).tiles for each in made]
    assert counts[0] == counts[1]
    assert (counts[0] == 0) == here.empty
    ids = re.findall(r"COMPLETED ID: ([a-z0-9]+)", capsys.readouterr().out)
    assert [len(each) for each in ids] == [20, 20]


REFUSED = {
    "close_holes: inf is no number": lambda client: client.vectorize_mosaic(
        "s3://b/p.zarr", ["field"], vectorize_config={"close_holes": math.inf}
    ),
    "min_area_m2: nan is no number": lambda client: client.vectorize_mosaic(
        "s3://b/p.zarr", ["field"], vectorize_config={"min_area_m2": math.nan}
    ),
    "vectorize_config: Input should be": lambda client: client.vectorize_mosaic(
        "s3://b/p.zarr", ["field"], vectorize_config=[1]
    ),
    "without a column `location`": lambda client: client.vectorize_mosaic(PLACE, ["field"]),
    "datasets is a NoneType": lambda client: client.build_mosaics(None, PLACE, **WINDOW),
    "'NAIP_30CM' is named twice": lambda client: client.build_mosaics(
        ["naip_30cm", "NAIP_30CM"], PLACE, **WINDOW
    ),
    "no active geometry": lambda client: client.build_mosaics(
        "NAIP_30CM", gpd.GeoDataFrame({"a": [1]}), **WINDOW
    ),
    "coordinates.0: inf is no number": lambda client: client.build_mosaics(
        "NAIP_30CM", {"type": "Point", "coordinates": [math.inf, 0]}, **WINDOW
    ),
    "'a' is named twice": lambda client: client.predict_mosaic(
        "s3://b/p.zarr", labels=["a", "a"], **MODEL
    ),
    "no device 'tpu'": lambda client: client.predict_mosaic(
        "s3://b/p.zarr", labels=["a"], device="tpu", **MODEL
    ),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_means_nothing_is_refused_with_the_same_words(both, sentence):
    told = []
    for client in both:
        with pytest.raises(InvalidInput, match=re.escape(sentence)) as refusal:
            REFUSED[sentence](client)
        told.append(str(refusal.value))
    assert told[0] == told[1]
