"""The engine's front door on real pixels: from a request to stores and polygons."""

import importlib.util
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio.features
import torch
import xarray as xr
from shapely import normalize
from shapely.geometry import box, mapping, shape

from landloom.errors import Cancelled, CatalogProblem, InvalidInput, ModelRejected
from landloom.raster.settings import EngineSettings
from landloom.raster.store.zarr import CubeStore
from landloom.raster.workflow import run
from landloom.wire.requests import (
    BuildAndPredictRecipe,
    BuildMosaics,
    PredictMosaic,
    VectorizeMosaic,
)

SAMPLES = Path(__file__).parents[3] / "samples"
WINDOW = {"start": "2021-01-01", "end": "2022-01-01", "target_crs": 32633}
FAR = 64
"""Pixels of mirrored ground around the mosaic: more than the rule looks."""


def settings(folder: Path, **more) -> EngineSettings:
    said = {"workers": 2, "shard": 512, **more}
    return EngineSettings(
        catalog=SAMPLES / "catalog.toml",
        models=folder / "models",
        output_uri=f"{folder}/out/",
        **said,
    )


def fields_request(**more) -> BuildAndPredictRecipe:
    aoi = str(SAMPLES / "aoi" / "inn_valley.geojson")
    return BuildAndPredictRecipe(**{"model_recipe": "SAMPLE_FIELDS", "aoi": aoi, **WINDOW, **more})


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """What `make demo` computes: (result of the recipe, the settings, the events told)."""
    folder = tmp_path_factory.mktemp("demo")
    events = []
    made = run(fields_request(), settings=settings(folder), seed="demo", show=events.append)
    return made, settings(folder), events


def polygons(demo, seed="vectors", **more) -> gpd.GeoDataFrame:
    made, engine, _ = demo
    request = VectorizeMosaic(
        mosaic=made.mosaics[0].location, features=["field"], target_crs=32633, **more
    )
    uri = run(request, settings=engine, seed=seed, show=lambda _: None).uri
    return gpd.read_parquet(uri)


def one_shot(store: CubeStore) -> np.ndarray:
    """The sample's rule once over the whole mosaic: (label, y, x) probabilities."""
    path = SAMPLES / "models" / "make_fields_model.py"
    spec = importlib.util.spec_from_file_location("make_fields_model", path)
    maker = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = maker
    spec.loader.exec_module(maker)
    order = [
        f"sample_{season}:{band}"
        for season in ("planting", "harvest")
        for band in ("B04", "B03", "B02", "B08")
    ]
    pixels = xr.open_zarr(store.uri)["variables"].isel(time=0).sel(band=order).values
    masked = np.isnan(pixels).any(axis=0)
    ground = np.pad(np.nan_to_num(pixels), ((0, 0), (FAR, FAR), (FAR, FAR)), mode="symmetric")
    with torch.inference_mode():
        given = torch.from_numpy(ground.astype(np.float32))[None]
        logits = maker.FieldRule()(maker.ToReflectance()(given))
        found = logits.softmax(dim=1)[0].numpy()[:, FAR:-FAR, FAR:-FAR]
    found[:, masked] = np.nan
    return found


class TestDemo:
    def test_prediction_is_that_of_one_shot_over_the_whole_mosaic(self, demo):
        made, _, _ = demo
        whole = one_shot(CubeStore.open(made.inputs[0].location))
        tiled = xr.open_zarr(made.mosaics[0].location)["variables"].values[0]
        np.testing.assert_allclose(tiled, whole, atol=1e-5)

    def test_polygons_are_those_of_rasterio_over_one_shot(self, demo):
        made, _, _ = demo
        source = CubeStore.open(made.inputs[0].location)
        field = one_shot(source)[1]
        # The two may differ by 1e-5, so no pixel may stand that close to the threshold.
        assert np.nanmin(np.abs(field - 0.5)) > 1e-5
        mask = field >= 0.5
        traced = rasterio.features.shapes(
            mask.astype(np.uint8), mask=mask, transform=source.geobox.affine
        )
        expected = {normalize(shape(geometry)).wkb for geometry, _ in traced}
        found = polygons(demo)
        assert len(found) > 200
        assert {normalize(geometry).wkb for geometry in found.geometry} == expected

    def test_both_seasons_have_pixels_and_the_result_says_so(self, demo):
        made, _, _ = demo
        (mosaic,) = made.inputs
        assert mosaic.bands == [
            f"sample_{season}:{band}"
            for season in ("planting", "harvest")
            for band in ("B02", "B03", "B04", "B08", "N_VALID_PIXELS")
        ]
        assert mosaic.valid_fraction > 0.95
        assert made.mosaics[0].shape_yx == mosaic.shape_yx
        assert made.warnings == []
        index = gpd.read_parquet(made.index_uri)
        assert list(index["location"]) == [made.mosaics[0].location]

    def test_events_tell_every_stage_in_order(self, demo):
        _, _, events = demo
        assert [event.seq for event in events] == list(range(len(events)))
        stages = list(dict.fromkeys(event.stage for event in events))
        assert stages == ["search", "mosaic", "publish", "predict"]
        assert [event.done for event in events if event.stage == "mosaic"][-1] == 2

    def test_tiles_of_128_give_the_same_bits_and_the_same_polygons(self, demo, tmp_path):
        engine = settings(tmp_path, shard=128, workers=1)
        again = run(fields_request(), settings=engine, seed="other", show=lambda _: None)
        for ours, theirs in (
            (again.mosaics[0], demo[0].mosaics[0]),
            (again.inputs[0], demo[0].inputs[0]),
        ):
            np.testing.assert_array_equal(
                xr.open_zarr(ours.location)["variables"].values,
                xr.open_zarr(theirs.location)["variables"].values,
            )
        cut = polygons((again, engine, []), vectorize_config={"stats": True})
        whole = polygons(demo, seed="with statistics", vectorize_config={"stats": True})
        assert cut.equals(whole)

    def test_started_again_it_finds_what_it_had_made(self, demo):
        made, engine, _ = demo
        events = []
        again = run(fields_request(), settings=engine, seed="demo", show=events.append)
        assert again.mosaics == made.mosaics
        assert any("finished before" in event.message for event in events)


class TestRequests:
    def test_predict_over_a_store_equals_the_recipe(self, demo):
        made, engine, _ = demo
        request = PredictMosaic(
            mosaics=[made.inputs[0].location],
            inference={
                "model_path": str(SAMPLES / "models" / "fields.pt2"),
                "patch_size": 256,
                "clip_size": 32,
                "features": [
                    f"sample_{season}:{band}"
                    for season in ("planting", "harvest")
                    for band in ("B04", "B03", "B02", "B08")
                ],
                "labels": ["background", "field", "edge"],
            },
        )
        result = run(request, settings=engine, seed="byo", show=lambda _: None)
        np.testing.assert_array_equal(
            xr.open_zarr(result.mosaics[0].location)["variables"].values,
            xr.open_zarr(made.mosaics[0].location)["variables"].values,
        )

    def test_one_row_of_the_aoi_is_one_mosaic(self, tmp_path):
        places = [box(13.11, 48.28, 13.12, 48.285), box(13.15, 48.29, 13.155, 48.295)]
        features = [{"type": "Feature", "properties": {}, "geometry": mapping(p)} for p in places]
        request = BuildMosaics(
            aoi={"type": "FeatureCollection", "features": features},
            datasets=["SAMPLE_PLANTING"],
            **WINDOW,
        )
        made = run(request, settings=settings(tmp_path), seed="two", show=lambda _: None)
        assert len({row.location for row in made.mosaics}) == 2
        assert len(gpd.read_parquet(made.index_uri)) == 2

    def test_a_place_without_scenes_is_an_empty_mosaic_and_a_warning(self, tmp_path):
        request = BuildMosaics(
            aoi=mapping(box(0, 0, 0.01, 0.01)), datasets=["SAMPLE_PLANTING"], **WINDOW
        ).model_copy(update={"target_crs": None})
        made = run(request, settings=settings(tmp_path), seed="sea", show=lambda _: None)
        assert made.mosaics[0].valid_fraction == 0
        assert any("No scenes" in warning for warning in made.warnings)
        assert np.isnan(xr.open_zarr(made.mosaics[0].location)["variables"].values[:, :4]).all()

    def test_a_dry_run_tells_and_makes_nothing(self, tmp_path):
        request = fields_request(dry_run=True)
        made = run(request, settings=settings(tmp_path), seed="dry", show=lambda _: None)
        assert made.mosaics == []
        (planned,) = made.plan.mosaics
        assert planned.crs == "EPSG:32633"
        assert planned.scenes == {"SAMPLE_PLANTING": 1, "SAMPLE_HARVEST": 1}
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("change", "error", "words"),
        [
            ({"model_recipe": "NO_SUCH"}, CatalogProblem, "SAMPLE_FIELDS"),
            ({"aoi": "/nowhere/aoi.geojson"}, Exception, "/nowhere/aoi.geojson"),
            ({"target_crs": 999999}, InvalidInput, "999999"),
        ],
    )
    def test_wrong_requests_are_refused_by_name(self, tmp_path, change, error, words):
        with pytest.raises(error, match=words):
            run(
                fields_request(**change),
                settings=settings(tmp_path),
                seed="wrong",
                show=lambda _: None,
            )

    def test_a_model_that_does_not_fit_is_refused_before_a_pixel_is_read(self, demo):
        made, engine, _ = demo
        events = []
        request = PredictMosaic(
            mosaics=[made.inputs[0].location],
            inference={
                "model_path": str(SAMPLES / "models" / "fields.pt2"),
                "patch_size": 256,
                "clip_size": 32,
                "features": ["sample_planting:B04"],
                "labels": ["a", "b", "c"],
            },
        )
        with pytest.raises(ModelRejected, match="8"):
            run(request, settings=engine, seed="misfit", show=events.append)
        assert not [event for event in events if event.stage == "predict"]

    def test_a_cancelled_workflow_stops(self, tmp_path):
        with pytest.raises(Cancelled):
            run(
                fields_request(),
                settings=settings(tmp_path),
                seed="stop",
                show=lambda _: None,
                cancelled=lambda: True,
            )
