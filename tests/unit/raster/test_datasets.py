"""Every built-in dataset on pixels of its own sensor, against rasterio and numpy."""

import json

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401 - the accessor .rio
import xarray as xr
from rasterio.enums import Resampling
from rasterio.warp import reproject
from tests.engine.sensors import CALIFORNIA, FLANDERS, SAMPLES, SEASONS, overlay
from tests.engine.tolerances import WARPED_NUMBERS

from landloom.raster.catalog import load_catalog
from landloom.raster.settings import EngineSettings
from landloom.raster.workflow import run
from landloom.wire.requests import BuildMosaics

KEPT = (2, 4, 5, 6, 11)
"""Scene classes that are ground."""


def mosaic(folder, dataset: str, place: str, start="2023-01-01", end="2024-01-01") -> xr.Dataset:
    settings = EngineSettings(
        catalog=overlay(folder), models=folder / "models", output_uri=f"{folder}/out/",
        workers=2, shard=512,
    )  # fmt: skip
    request = BuildMosaics(
        datasets=[dataset], aoi=str(SAMPLES / "aoi" / f"{place}.geojson"), start=start, end=end
    )
    made = run(request, settings=settings, seed="one", show=lambda _: None)
    return xr.open_zarr(made.mosaics[0].location)


def scenes_of(first: int, last: int) -> list:
    """Folders of the dates near Antwerp that count: of these days, below 75 per cent of cloud."""
    found = []
    for item in sorted(FLANDERS.glob("*/*.json")):
        document = json.loads(item.read_text())["properties"]
        day = int(np.datetime64(document["datetime"][:10], "D").astype(object).strftime("%j"))
        if first <= day <= last and document["eo:cloud_cover"] < 75:
            found.append(item.parent)
    return found


def median_of(folders, asset: str) -> tuple[np.ndarray, np.ndarray]:
    """Median and count of the clear values of a band, whole scenes at once."""
    values = []
    for folder in folders:
        with (
            rasterio.open(folder / f"{asset}.tif") as band,
            rasterio.open(folder / "SCL.tif") as scl,
        ):
            pixels, classes = band.read(1).astype(np.float32), scl.read(1)
            clear = np.isin(classes, KEPT) & (pixels != band.nodata)
        values.append(np.where(clear, pixels, np.nan))
    stack = np.stack(values)
    with np.errstate(all="ignore"):
        return np.nanmedian(stack, axis=0), np.isfinite(stack).sum(axis=0)


def on_grid(store: xr.Dataset, values: np.ndarray) -> np.ndarray:
    """Place a scene near Antwerp, whose pixels are those of the lattice, on a mosaic's grid."""
    with rasterio.open(FLANDERS / "2023-10-22" / "B02.tif") as file:
        left, top = file.transform.c, file.transform.f
        assert store.rio.crs == file.crs
    dx = round((float(store.x[0]) - 5 - left) / 10)
    dy = round((top - float(store.y[0]) - 5) / 10)
    height, width = store.sizes["y"], store.sizes["x"]
    out = np.full((height, width), np.nan)
    y0, x0 = max(0, -dy), max(0, -dx)
    part = values[max(0, dy) : dy + height, max(0, dx) : dx + width]
    out[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = part
    return out


class TestSentinel2:
    @pytest.mark.parametrize("name", ["S2_MED_PLANTING", "S2_MED_HARVEST"])
    def test_a_season_is_the_median_of_its_clear_scenes(self, tmp_path, name):
        self.check(tmp_path, name, scenes_of(*SEASONS[name]))

    def test_the_windowed_pixel_is_the_median_of_the_whole_year(self, tmp_path):
        self.check(tmp_path, "S2_MED_WINDOWED_PIXEL", scenes_of(1, 366))

    def test_all_bands_are_twelve(self, tmp_path):
        name = "S2_MED_WINDOWED_PIXEL_ALL_BANDS"
        store = self.check(tmp_path, name, scenes_of(1, 366))
        bands = [label.split(":")[1] for label in store.band.values.tolist()]
        assert bands == [
            "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12",
            "N_VALID_PIXELS",
        ]  # fmt: skip

    def test_two_years_are_two_time_steps(self, tmp_path):
        store = mosaic(
            tmp_path, "S2_MED_WINDOWED_PIXEL", "flanders_timeseries", "2022-01-01", "2024-01-01"
        )
        assert store.time.dt.year.values.tolist() == [2022, 2023]
        values = store["variables"].sel(band="s2med_windowed_pixel:B04")
        assert np.isnan(values[0].values).all()
        assert np.isfinite(values[1].values).any()

    def check(self, folder, name, folders) -> xr.Dataset:
        assert folders
        store = mosaic(folder, name, "flanders_timeseries")
        dataset = load_catalog(overlay(folder)).dataset(name)
        assert store.band.values.tolist() == list(dataset.labels)
        for band in dataset.bands:
            expected, count = median_of(
                folders, band.names[0] if len(band.names) == 1 else band.label
            )
            got = store["variables"].sel(band=f"{dataset.prefix}:{band.label}").values[0]
            np.testing.assert_array_equal(got, on_grid(store, expected))
        counted = store["variables"].sel(band=f"{dataset.prefix}:N_VALID_PIXELS").values[0]
        np.testing.assert_array_equal(np.nan_to_num(counted), np.nan_to_num(on_grid(store, count)))
        return store


class TestNaip:
    @pytest.mark.parametrize(
        ("name", "resolution"), [("NAIP_30CM", 0.3), ("NAIP_60CM", 0.6), ("NAIP_1M", 1.0)]
    )
    def test_four_bands_of_bytes_are_those_of_gdal(self, tmp_path, name, resolution):
        store = mosaic(tmp_path, name, "california_native", "2020-01-01", "2021-01-01")
        prefix = name.lower()
        assert store.band.values.tolist() == [
            f"{prefix}:{colour}" for colour in ("red", "green", "blue", "nir")
        ]
        values = store["variables"]
        assert values.dtype == np.uint8
        assert float(store.x[1] - store.x[0]) == pytest.approx(resolution)
        assert store.spatial_ref.attrs["GeoTransform"]
        with rasterio.open(CALIFORNIA) as file:
            # Where pixels grow, the kernel grows with them, per axis of these oblong pixels.
            scale_x = min(1.0, file.transform.a / resolution)
            scale_y = min(1.0, -file.transform.e / resolution)
            if resolution < 0.8:
                scale_x = scale_y = 1.0
            left, top = float(store.x[0]) - resolution / 2, float(store.y[0]) + resolution / 2
            expected, _ = reproject(
                rasterio.band(file, [1, 2, 3, 4]), np.zeros(values.shape[1:], np.uint8),
                dst_crs=file.crs, tolerance=0, resampling=Resampling.bilinear,
                XSCALE=scale_x, YSCALE=scale_y,
                dst_transform=rasterio.Affine(resolution, 0, left, 0, -resolution, top),
            )  # fmt: skip
        got = values.values[0]
        assert ((got > 0) == (expected > 0)).mean() > 0.995
        both = (got > 0) & (expected > 0)
        assert both.mean() > 0.9
        difference = np.abs(got.astype(int) - expected.astype(int))[both]
        assert difference.max() <= WARPED_NUMBERS

    def test_no_image_of_the_resolution_is_an_empty_mosaic_and_a_warning(self, tmp_path):
        store = mosaic(tmp_path, "NAIP_30CM", "california_native", "2018-01-01", "2019-01-01")
        assert not store["variables"].values.any()
