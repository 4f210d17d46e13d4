"""Every built-in recipe on pixels of its own sensor, against one pass over the whole mosaic.

The published weights cannot be had here, so each model is one of the recipe's exact signature:
channels, labels, patch, with a transform that brings raw values to its scale.
"""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rioxarray  # noqa: F401 - the accessor .rio
import torch
import xarray as xr
from rasterio.features import rasterize
from tests.engine.exported import exported
from tests.engine.geometry_models import BrightFinder, blob_finder
from tests.engine.sensors import SAMPLES, overlay
from tests.engine.tolerances import PREDICTED
from torch.nn import functional

from landloom.errors import ModelRejected
from landloom.raster.catalog import load_catalog
from landloom.raster.settings import EngineSettings
from landloom.raster.workflow import run
from landloom.wire.requests import (
    BuildAndPredictRecipe,
    PredictGeometriesRecipe,
    VectorizeMosaic,
)

PLACES = {
    "FTW": ("flanders_timeseries", "2023-01-01", "2024-01-01", 5000.0),
    "CHESAPEAKE_RSC": ("california_native", "2020-01-01", "2021-01-01", 255.0),
    "TILE_2_NET": ("wisconsin_native", "2020-01-01", "2021-01-01", 255.0),
    "META_CHM_V1": ("california_native", "2020-01-01", "2021-01-01", 255.0),
}
"""Where, from, until, and the value that the model's transform makes 1."""


class ToUnit(torch.nn.Module):
    """Raw values to about 0 to 1."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self.most = most

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        return raw / self.most


class Stencil(torch.nn.Module):
    """Three 3 x 3 convolutions of random weights: a pixel's answer depends on the 3 px around."""

    def __init__(self, channels: int, labels: int) -> None:
        super().__init__()
        torch.manual_seed(channels * 10 + labels)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(channels, 12, 3, padding=1), torch.nn.Tanh(),
            torch.nn.Conv2d(12, 12, 3, padding=1), torch.nn.Tanh(),
            torch.nn.Conv2d(12, labels, 3, padding=1),
        )  # fmt: skip

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layers(image) * 4


def engine(folder: Path, models: dict[str, Path]) -> EngineSettings:
    return EngineSettings(
        catalog=overlay(folder, models), models=folder / "models", output_uri=f"{folder}/out/",
        workers=2, shard=512,
    )  # fmt: skip


def stand_in(folder: Path, name: str) -> tuple[Path, Stencil]:
    """Write a model of a recipe's signature."""
    inference = load_catalog().recipe(name).inference
    net = Stencil(len(inference.features), len(inference.labels)).eval()
    file = exported(
        folder / f"{name}.pt2", net, channels=len(inference.features),
        patch=inference.patch_size, transforms=ToUnit(PLACES[name][3]),
    )  # fmt: skip
    return file.path, net


def one_shot(name: str, net: Stencil, mosaic: xr.Dataset) -> np.ndarray:
    """The model once over the whole mosaic, mirrored at its edge: (label, y, x)."""
    inference = load_catalog().recipe(name).inference
    pixels = mosaic["variables"].sel(band=inference.features).values[0].astype(np.float32)
    hole = np.isnan(pixels).any(axis=0)
    if mosaic["variables"].dtype == np.uint8:
        hole = (pixels == 0).any(axis=0)
    ground = np.pad(np.where(hole, 0, pixels), ((0, 0), (8, 8), (8, 8)), mode="symmetric")
    with torch.inference_mode():
        found = net(torch.from_numpy(ground)[None] / PLACES[name][3])
        if inference.actor.value.startswith("semantic"):
            found = functional.softmax(found, dim=1)
    out = found[0, :, 8:-8, 8:-8].numpy().copy()
    out[:, hole] = np.nan
    return out


class TestMosaicRecipes:
    @pytest.mark.parametrize("name", list(PLACES))
    def test_is_the_model_over_the_whole_mosaic_at_once(self, tmp_path, name):
        path, net = stand_in(tmp_path, name)
        place, start, end, _ = PLACES[name]
        settings = engine(tmp_path, {f"recipes.{name}": path})
        request = BuildAndPredictRecipe(
            model_recipe=name, aoi=str(SAMPLES / "aoi" / f"{place}.geojson"), start=start, end=end
        )
        made = run(request, settings=settings, seed="one", show=lambda _: None)
        mosaic = xr.open_zarr(made.inputs[0].location)
        prediction = xr.open_zarr(made.mosaics[0].location)
        recipe = load_catalog().recipe(name)
        assert prediction.band.values.tolist() == recipe.inference.labels
        expected = one_shot(name, net, mosaic)
        assert np.isfinite(expected).any()
        assert prediction["variables"].shape[2:] == expected.shape[1:]
        got = prediction["variables"].values[0]
        np.testing.assert_allclose(got, expected, atol=PREDICTED * np.nanmax(np.abs(expected)))
        if recipe.inference.actor.value.startswith("semantic"):
            self.check_polygons(settings, recipe, made.mosaics[0].location, got)

    def check_polygons(self, settings, recipe, store, got):
        """The recipe's own vector defaults cover the pixels at or above its threshold."""
        config = {**recipe.vector.config, "medial_skeletonize": False}
        request = VectorizeMosaic(
            mosaic=store, features=list(recipe.vector.features), vectorize_config=config,
            threshold=recipe.vector.threshold, target_crs=xr.open_zarr(store).rio.crs.to_epsg(),
        )  # fmt: skip
        uri = run(request, settings=settings, seed="two", show=lambda _: None).uri
        frame = gpd.read_parquet(uri)
        transform = xr.open_zarr(store).rio.transform()
        for label in recipe.vector.features:
            layer = got[recipe.inference.labels.index(label)]
            covered = np.zeros(layer.shape, bool)
            own = frame[frame.label == label]
            if len(own):
                covered = rasterize(own.geometry, layer.shape, transform=transform).astype(bool)
            with np.errstate(invalid="ignore"):
                np.testing.assert_array_equal(covered, layer >= np.float32(recipe.vector.threshold))

    def test_a_model_of_another_signature_is_told_before_a_scene_is_sought(self, tmp_path):
        path, _ = stand_in(tmp_path, "META_CHM_V1")
        settings = engine(tmp_path, {"recipes.TILE_2_NET": path})
        request = BuildAndPredictRecipe(
            model_recipe="TILE_2_NET", aoi=str(SAMPLES / "aoi" / "wisconsin_native.geojson"),
            start="2020-01-01", end="2021-01-01",
        )  # fmt: skip
        with pytest.raises(ModelRejected, match="1 output channels"):
            run(request, settings=settings, seed="one", show=lambda _: None)


class TestGeometryRecipes:
    @pytest.fixture(scope="class", params=["SAM3_TEXT_GEOMETRY", "SAM3_TEXT_BBOX"])
    @staticmethod
    def found(request, tmp_path_factory):
        """(frame, mosaic, name) of a recipe with the prompts `red` and `very blue`."""
        folder = tmp_path_factory.mktemp("sam3")
        side = load_catalog().geometry_recipe(request.param).patch_size
        path = blob_finder(folder / "sam3.pt2", side=side, model=BrightFinder()).path
        settings = engine(folder, {f"geometry_recipes.{request.param}": path})
        asked = PredictGeometriesRecipe(
            model_recipe=request.param, text_prompt=["red", "very blue"],
            aoi=str(SAMPLES / "aoi" / "california_native.geojson"),
            start="2020-01-01", end="2021-01-01",
        )  # fmt: skip
        made = run(asked, settings=settings, seed="one", show=lambda _: None)
        assert made.inputs[0].bands[0] == "naip_30cm:red"
        return gpd.read_parquet(made.uri), xr.open_zarr(made.inputs[0].location), request.param

    def test_gives_one_thing_for_each_prompt_that_has_one(self, found):
        frame, mosaic, _ = found
        assert frame.crs.to_epsg() == 4326
        assert frame.label.tolist() == ["red"]
        brightest = float(mosaic["variables"].sel(band="naip_30cm:red").max())
        assert frame.bbox_score.tolist() == [pytest.approx(brightest / 255)]

    def test_it_is_where_the_mosaic_is_bright(self, found):
        frame, mosaic, name = found
        bright = mosaic["variables"].sel(band="naip_30cm:red").values[0] > 100
        native = frame.to_crs(mosaic.rio.crs).geometry
        transform = mosaic.rio.transform()
        drawn = rasterize(native, bright.shape, transform=transform, dtype="uint8").astype(bool)
        if name == "SAM3_TEXT_BBOX":
            rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
            bright = np.zeros_like(bright)
            bright[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        np.testing.assert_array_equal(drawn, bright)
