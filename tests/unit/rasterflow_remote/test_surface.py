"""The names and signatures that existing scripts rely on."""

import inspect
from dataclasses import asdict, fields

import pytest

import rasterflow_remote
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
    with pytest.raises(rasterflow_remote.client.LandloomError, match=r"connection\.env"):
        RasterflowClient()
