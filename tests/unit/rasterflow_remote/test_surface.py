"""The names and signatures that existing scripts rely on."""

import inspect
from dataclasses import asdict, fields
from typing import get_args

import pytest

import rasterflow_remote
from landloom.errors import LandloomError
from landloom.wire.requests import WorkflowRequest
from rasterflow_remote import InferenceConfig, RasterflowClient, data_models


def test_every_enum_can_be_imported_from_both_modules():
    for name in data_models.__all__:
        assert getattr(rasterflow_remote, name) is getattr(data_models, name)


def test_the_inference_actor_enum_has_two_names():
    assert rasterflow_remote.InferenceActorEnum is rasterflow_remote.MosaicToMosaicActorEnum


def test_every_inference_field_is_a_keyword_of_predict_mosaic():
    keywords = inspect.signature(RasterflowClient.predict_mosaic).parameters
    assert {field.name for field in fields(InferenceConfig)} <= set(keywords)


def test_an_inference_config_can_be_splatted():
    config = InferenceConfig("m.pt2", "regression_pytorch", 256, 32, "cpu", ["a"], ["b"])
    assert asdict(config)["merge_mode"] == "weighted_average"


def test_the_documented_call_of_the_first_generation_binds():
    signature = inspect.signature(RasterflowClient.build_and_predict_mosaic_recipe)
    bound = signature.bind(
        None, aoi="s3://b/a.parquet", start=1, end=2, crs_epsg=3857, model_recipe="FTW"
    )
    assert bound.arguments["crs_epsg"] == 3857


@pytest.mark.parametrize(
    "options", [{}, {"cache": False}, {"dry_run": True}, {"rasterflow_version": "v1.40.2"}]
)
def test_a_client_is_made_with_any_version(options, monkeypatch):
    monkeypatch.delenv("LANDLOOM_URL", raising=False)
    assert RasterflowClient(**options)


def test_old_and_new_names_at_once_are_refused(monkeypatch):
    monkeypatch.delenv("LANDLOOM_URL", raising=False)
    client = RasterflowClient()
    with pytest.raises(TypeError, match="crs_epsg"):
        client.build_mosaics(["S2_MED_PLANTING"], "a.geojson", 1, 2, target_crs=1, crs_epsg=2)
    with pytest.raises(TypeError, match="store"):
        client.predict_mosaic("a.zarr", "m.pt2", 256, 32, "cpu", ["a"], ["b"], store="b.zarr")


def test_bad_values_are_named(monkeypatch):
    monkeypatch.delenv("LANDLOOM_URL", raising=False)
    client = RasterflowClient()
    with pytest.raises(ValueError, match="model_path"):
        client.predict_mosaic("a.zarr", "m.onnx", 256, 32, "cpu", ["a"], ["b"])
    with pytest.raises(ValueError, match="must lie after"):
        client.build_mosaics(["S2_MED_PLANTING"], "a.geojson", "2024-01-01", "2023-01-01")


def test_a_server_without_a_key_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setenv("LANDLOOM_URL", "http://127.0.0.1:1")
    monkeypatch.delenv("WHEROBOTS_API_KEY", raising=False)
    with pytest.raises(LandloomError, match=r"connection\.env"):
        RasterflowClient()


DOCUMENTED_CALLS = [
    ("build_mosaics", {"datasets": [], "aoi": "", "start": 1, "end": 2}),
    ("build_mosaic", {"datasets": [], "aoi": "", "start": 1, "end": 2, "crs_epsg": 3857}),
    (
        "build_gti_mosaics",
        {
            "gti": "s3://b/i.parquet", "aoi": "", "bands": ["r", "g", "b", "ir"],
            "location_field": "url", "time_column": "time", "target_crs": 3857,
            "xy_chunksize": 1024, "query": "res == .6", "requester_pays": True,
            "sort_field": "time", "resampling": "NEAREST", "nodata": 0.0,
        },
    ),
    (
        "build_gti_mosaic",
        {"gti": "", "aoi": "", "bands": ["r"], "location_field": "url", "crs_epsg": 3857,
         "requester_pays": True, "nodata": 0.0},
    ),
    ("predict_mosaic", {"mosaics": "", "xy_block_multiplier": 2}),
    ("predict_mosaic", {"store": ""}),
    (
        "predict_mosaic_recipe",
        {"aoi": "", "start": 1, "end": 2, "model_recipe": "FTW", "target_crs": 3857},
    ),
    (
        "predict_mosaic_geometries_recipe",
        {"aoi": "", "start": 1, "end": 2, "target_crs": 3857, "model_recipe": "SAM3_TEXT_BBOX",
         "text_prompt": ["roof"], "confidence_threshold": 0.7},
    ),
    (
        "run_geometry_inference_recipe",
        {"aoi": "", "start": 1, "end": 2, "crs_epsg": 3857, "model_recipe": "SAM3_TEXT_GEOMETRY",
         "text_prompt": "roof", "confidence_threshold": 0.3},
    ),
    ("predict_mosaic_geometries", {"mosaics": "", "text_prompt": "roof"}),
    ("run_mosaics_change", {"mosaics": ""}),
    ("run_mosaics_change", {"store": ""}),
    ("vectorize_mosaic", {"mosaic": "", "features": ["field"], "threshold": 0.5}),
    ("vectorize_mosaic", {"store": "", "features": ["road"], "vectorize_config": {"stats": True}}),
    ("build_zarr_multiscales", {"source_store": ""}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "arguments"), DOCUMENTED_CALLS)
def test_the_documented_call_of_every_generation_binds(method, arguments):
    inspect.signature(getattr(RasterflowClient, method)).bind(None, **arguments)


def test_every_kind_of_request_is_a_method_of_the_client():
    kinds = {
        member.model_fields["kind"].default for member in get_args(get_args(WorkflowRequest)[0])
    }
    assert len(kinds) == 9
    for kind in kinds:
        assert callable(getattr(RasterflowClient, kind)), kind
