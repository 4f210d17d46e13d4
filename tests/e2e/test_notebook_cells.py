"""Cells of public notebooks over the platform's own store, by the libraries they import.

Every test is a cell or two; what they open was written by the engine into the user's folder.
"""

import os
from dataclasses import dataclass

import duckdb
import fsspec
import geopandas as gpd
import httpx
import lonboard
import numpy as np
import pyarrow as pa
import pytest
import rasterix
import rioxarray  # noqa: F401 - registers .rio
import s3fs
import shapely
import xarray as xr
import zarr
from pyproj import CRS

from landloom.raster.change import change_mosaics
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.multiscales import STATISTICS, build_multiscales
from landloom.raster.store.foreign import describe_foreign
from landloom.raster.store.geoparquet import GeoParquetFolder, bounds_column
from landloom.raster.store.index import write_index
from landloom.raster.store.zarr import CubeStore
from landloom.wire.results import MosaicRow
from tests.engine.cubes import cube, never, unheard
from wherobots.tools.utility.s3_utils import get_url

pytestmark = pytest.mark.e2e

BANDS = ["s2med_harvest:B04", "s2med_harvest:B08", "s2med_harvest:N_VALID_PIXELS"]
LABELS = ["non_field_background", "field", "field_boundaries"]
SHAPE = (150, 170)


@dataclass(frozen=True)
class Outputs:
    """What a workflow would have handed back."""

    mosaic: str
    prediction: str
    change: str
    multiscales: str
    polygons: str
    index: str
    pixels: np.ndarray
    """Of the mosaic: (time, band, y, x)."""


@pytest.fixture(scope="module")
def user(platform):
    """The environment of a job, in this process."""
    caches = (s3fs.S3FileSystem, fsspec.get_filesystem_class("s3"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in platform.connection.items():
            patch.setenv(name, value)
        for filesystem in caches:
            filesystem.clear_instance_cache()
        yield platform.connection["USER_S3_PATH"]
    for filesystem in caches:
        filesystem.clear_instance_cache()
    describe_foreign.cache_clear()


@pytest.fixture(scope="module")
def outputs(user):
    rng = np.random.default_rng(8)
    pixels = (300 + 3800 * rng.random((2, 3, *SHAPE), dtype=np.float32)).round()
    pixels[0, :, :20] = np.nan
    folder = f"{user}notebooks"
    mosaic = cube(f"{folder}/mosaic.zarr", pixels, bands=BANDS, shard=128, chunk=64)
    scores = rng.random((2, 3, *SHAPE), dtype=np.float32)
    prediction = cube(f"{folder}/prediction.zarr", scores, bands=LABELS, shard=128, chunk=64)
    work = {"executor": LocalExecutor(2), "report": unheard, "cancelled": never}
    change = change_mosaics([prediction], None, f"{folder}/change.zarr", **work)
    multiscales = build_multiscales(mosaic, f"{folder}/multiscales.zarr", **work)
    work["executor"].close()
    index = f"{folder}/index.parquet"
    row = MosaicRow(location=mosaic.uri, crs="EPSG:32633", shape_yx=SHAPE, bbox=(0, 0, 1, 1),
                    bands=BANDS)  # fmt: skip
    write_index(index, [row], [shapely.box(0, 0, 1, 1)])
    return Outputs(
        mosaic.uri, prediction.uri, change.location, multiscales, polygons(folder), index, pixels
    )


def polygons(folder):
    """Write a folder of parts, as `vectorize_mosaic` does, and return its URI."""
    table = GeoParquetFolder(
        f"{folder}/polygons.parquet",
        CRS.from_epsg(4326),
        "Polygon",
        (("score_mean", pa.float64()),),
    )
    for part in range(2):
        boxes = shapely.box(13 + np.arange(4) / 100, 48 + part, 13.005 + np.arange(4) / 100, 49)
        columns = {
            "geometry": pa.array(shapely.to_wkb(boxes)),
            "time": pa.array(np.full(4, np.datetime64("2024-01-01", "us"))),
            "label": pa.array(["field", "field_boundaries"] * 2),
            "bbox": bounds_column(shapely.bounds(boxes)),
            "score_mean": pa.array([0.2, 0.6, 0.7, 0.9]),
        }
        table.write_part(part, [columns])
    return table.uri


def opened(uri, **more):
    """Open a store as the notebooks do."""
    fs = s3fs.S3FileSystem(profile="default", asynchronous=True)
    zstore = zarr.storage.FsspecStore(fs, path=uri[5:])
    return xr.open_zarr(zstore, **more)


class TestMosaics:
    def test_open_by_an_asynchronous_filesystem_of_the_default_profile(self, outputs):
        ds = opened(outputs.mosaic)
        assert ds["variables"].dims == ("time", "band", "y", "x")
        assert ds["band"].data.tolist() == BANDS
        np.testing.assert_array_equal(ds["variables"].values, outputs.pixels)

    def test_a_year_is_an_axis_of_length_one(self, outputs):
        ds = opened(outputs.mosaic)
        year = ds["variables"].sel(time="2024")
        assert year.sizes["time"] == 1
        np.testing.assert_array_equal(year.values[0], outputs.pixels[1])
        np.testing.assert_array_equal(ds["variables"].isel(time=0).values, outputs.pixels[0])
        assert str(ds.coords["time"].values[0])[:10] == "2023-01-01"

    def test_a_window_is_cut_by_coordinates(self, outputs):
        ds = opened(outputs.mosaic)
        x, y = ds["x"].values, ds["y"].values
        assert y[0] > y[-1]
        part = ds.sel(band=BANDS[1], x=slice(x[10], x[19]), y=slice(y[30], y[44]))
        np.testing.assert_array_equal(part["variables"].values, outputs.pixels[:, 1, 30:45, 10:20])

    def test_an_index_made_of_two_bands_knows_its_place(self, outputs):
        ds = opened(outputs.mosaic)["variables"]
        red, nir = (ds.sel(band=band, time="2024").squeeze() for band in BANDS[:2])
        ndvi = (nir - red) / (nir + red)
        store = CubeStore.open(outputs.mosaic)
        assert ndvi.rio.crs.to_epsg() == 32633
        assert ndvi.rio.transform() == store.geobox.affine

    def test_rasterix_gives_it_an_index(self, outputs):
        ds = rasterix.assign_index(opened(outputs.mosaic), x_dim="x", y_dim="y")
        assert isinstance(ds.xindexes["x"], rasterix.RasterIndex)
        at = ds["variables"].sel(x=float(ds["x"][7]), y=float(ds["y"][9]), method="nearest")
        np.testing.assert_array_equal(at.values, outputs.pixels[:, :, 9, 7])

    def test_the_index_names_the_store(self, outputs):
        gdf = gpd.read_parquet(outputs.index)
        assert gdf["location"].tolist() == [outputs.mosaic]


class TestPredictions:
    def test_have_the_pixels_of_their_mosaic(self, outputs):
        predict_ds, mosaic_ds = opened(outputs.prediction), opened(outputs.mosaic)
        for axis in "yx":
            np.testing.assert_array_equal(predict_ds[axis], mosaic_ds[axis])
        field = predict_ds["variables"].sel(band="field").isel(time=0)
        assert (field > 0.5).sum() > 0

    def test_change_says_when_it_ends(self, outputs):
        ds = opened(outputs.change)
        end = ds.coords["time"].values + ds.coords["time_delta"].values
        assert str(ds.coords["time"].values[0])[:10] == "2023-01-01"
        assert str(end[0])[:10] == "2024-01-01"
        both = opened(outputs.prediction)["variables"]
        np.testing.assert_array_equal(ds["variables"][0], both[1].values - both[0].values)


class TestMultiscales:
    def test_open_at_the_root_and_by_level(self, outputs):
        np.testing.assert_array_equal(opened(outputs.multiscales)["variables"], outputs.pixels)
        coarse = opened(outputs.multiscales, group="4x")
        assert coarse["variables"].shape[2:] == (38, 43)
        assert coarse.rio.resolution() == (40, -40)

    def test_a_map_finds_its_colours(self, outputs):
        band = opened(outputs.multiscales).attrs[STATISTICS]["bands"][BANDS[0]]
        low, high = band["percentiles"].values()
        assert 300 <= low < 500
        assert 3900 < high <= 4100

    def test_a_store_of_others_in_the_users_folder_gets_overviews(self, outputs, user):
        path = f"{user}notebooks/theirs.zarr"
        fs = s3fs.S3FileSystem(profile="default", asynchronous=True)
        theirs = opened(outputs.mosaic).load().drop_encoding().rename(y="lat", x="lon")
        theirs.to_zarr(zarr.storage.FsspecStore(fs, path=path[5:]), zarr_format=2)
        work = {"executor": LocalExecutor(2), "report": unheard, "cancelled": never}
        uri = build_multiscales(
            CubeStore.open(path), f"{user}notebooks/of-theirs.zarr", shard=128, chunk=64, **work
        )
        work["executor"].close()
        np.testing.assert_array_equal(opened(uri)["variables"], outputs.pixels)


class TestPolygons:
    def test_geopandas_reads_and_writes_in_the_users_folder(self, outputs):
        gdf = gpd.read_parquet(outputs.polygons)
        assert gdf.crs.to_epsg() == 4326
        kept = gdf[(gdf["label"] == "field") & (gdf["score_mean"] > 0.5)]
        path = os.getenv("USER_S3_PATH") + "fields.parquet"
        kept.to_parquet(path)
        assert len(gpd.read_parquet(path)) == len(kept) == 2

    def test_duckdb_and_lonboard_take_them(self, outputs, tmp_path):
        fs = s3fs.S3FileSystem(profile="default")
        fs.get(f"{outputs.polygons}/", f"{tmp_path}/polygons/", recursive=True)
        con = duckdb.connect()
        table = f"read_parquet('{tmp_path}/polygons/*.parquet')"
        east = con.sql(f"select max(struct_extract(bbox, 'xmax')) from {table}").fetchall()  # noqa: S608
        assert east == [(pytest.approx(13.035),)]
        query = f"select geometry, score_mean from {table} where label = 'field'"  # noqa: S608
        layer = lonboard.PolygonLayer.from_duckdb(con.sql(query), crs="EPSG:4326")
        assert layer.table.num_rows == 4

    def test_a_link_lets_anybody_fetch_them(self, outputs):
        fs = s3fs.S3FileSystem(profile="default")
        part = min(fs.ls(outputs.polygons))
        url = get_url(f"s3://{part}", expires_in=60)
        answer = httpx.get(url, headers={"Range": "bytes=0-3"}, timeout=30)
        assert (answer.status_code, answer.content) == (206, b"PAR1")
        refused = httpx.get(url.split("?", maxsplit=1)[0], timeout=30)
        assert refused.status_code == 403
