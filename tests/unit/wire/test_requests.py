import json
import math

import numpy as np
import pytest
from pydantic import ValidationError

from landloom import errors
from landloom.wire.enums import RuntimeEnum
from landloom.wire.requests import (
    BuildAndPredictRecipe,
    BuildGtiMosaics,
    BuildMosaics,
    Inference,
    VectorizeMosaic,
    workflow_request,
)

WINDOW = {"aoi": "a.geojson", "start": "2023-01-01", "end": "2024-01-01"}
INFERENCE = {
    "model_path": "m.pt2",
    "patch_size": 32,
    "clip_size": 4,
    "features": ["a"],
    "labels": ["b"],
}


def test_a_request_is_told_apart_by_its_kind_and_travels_unchanged():
    given = {"kind": "build_and_predict_mosaic_recipe", "model_recipe": "FTW", **WINDOW}
    request = workflow_request.validate_python(given)
    assert isinstance(request, BuildAndPredictRecipe)
    assert workflow_request.validate_json(request.model_dump_json()) == request


def test_naive_times_are_utc_and_offsets_are_converted():
    request = BuildAndPredictRecipe(
        model_recipe="FTW", aoi="a", start="2023-01-01", end="2023-01-02T01:00:00+01:00"
    )
    assert request.start.isoformat() == "2023-01-01T00:00:00+00:00"
    assert request.end.isoformat() == "2023-01-02T00:00:00+00:00"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"end": "2023-01-01"}, "must lie after"),
        ({"end": "9999-12-31"}, "year 9999 is none of imagery"),
        ({"start": "0001-01-01T00:00:00+14:00"}, "year 1 is none of imagery"),
        ({"kind": "dance"}, "kind"),
        ({"runtime": "huge"}, "runtime"),
        ({"aoi": 5}, "aoi"),
    ],
)
def test_bad_values_are_refused_by_name(change, word):
    given = {"kind": "build_and_predict_mosaic_recipe", "model_recipe": "FTW", **WINDOW, **change}
    with pytest.raises(ValidationError, match=word):
        workflow_request.validate_python(given)


@pytest.mark.parametrize("threshold", [0, -0.1, 1.1])
def test_thresholds_lie_above_zero_and_up_to_one(threshold):
    with pytest.raises(ValidationError, match="threshold"):
        VectorizeMosaic(mosaic="a.zarr", features=["field"], threshold=threshold)


class TestWhatJsonCannotCarry:
    """A request is the same whether it is run where it is made or on a server."""

    @pytest.mark.parametrize(
        ("config", "sentence"),
        [
            ({"close_holes": math.inf}, "close_holes: inf is no number"),
            ({"min_area_m2": math.nan}, "min_area_m2: nan is no number"),
            ({"threshold": {"field": np.float32("nan")}}, "threshold.field: nan is no number"),
            ({"watershed": {"surface": {1}}}, "watershed.surface: a set is nothing"),
            ([1], "valid dictionary"),
        ],
    )
    def test_is_refused_by_name(self, config, sentence):
        with pytest.raises(ValidationError, match=f"vectorize_config\n.*{sentence}"):
            VectorizeMosaic(mosaic="a.zarr", features=["field"], vectorize_config=config)

    def test_coordinates_are_finite(self):
        place = {"type": "Point", "coordinates": (math.inf, 0.0)}
        with pytest.raises(ValidationError, match=r"aoi\n.*coordinates\.0: inf is no number"):
            BuildMosaics(datasets=["A"], **{**WINDOW, "aoi": place})

    def test_numbers_of_numpy_become_plain_ones(self):
        config = {"min_area_m2": np.int64(5), "stats": np.bool_(True), "simplify": np.float32(0.5)}
        config["threshold"] = {"field": np.float64(0.25)}
        request = VectorizeMosaic(mosaic="a.zarr", features=["field"], vectorize_config=config)
        assert json.loads(request.model_dump_json()) == request.model_dump(mode="json")
        assert request.vectorize_config["min_area_m2"].__class__ is int
        assert workflow_request.validate_json(request.model_dump_json()) == request

    @pytest.mark.parametrize("nodata", [math.nan, math.inf, -math.inf, 0, -9999.5, None])
    def test_any_nodata_travels(self, nodata):
        request = BuildGtiMosaics(gti="a.parquet", aoi="a", bands=["b"], nodata=nodata)
        body = json.dumps(request.model_dump(mode="json"), allow_nan=False)
        arrived = workflow_request.validate_json(body)
        assert repr(arrived.nodata) == repr(request.nodata)


@pytest.mark.parametrize(
    ("kind", "field", "more"),
    [
        ("build_mosaics", "datasets", WINDOW),
        ("build_gti_mosaics", "bands", {"gti": "a.parquet", "aoi": "a"}),
        ("run_mosaics_change", "features", {"mosaics": ["a.zarr"]}),
        ("predict_mosaic", "inference.labels", {"mosaics": ["a.zarr"], "inference": INFERENCE}),
    ],
)
def test_no_two_bands_of_an_output_have_one_name(kind, field, more):
    given = {"kind": kind, **more}
    if kind == "predict_mosaic":
        given["inference"] = {**INFERENCE, "labels": ["a", "b", "a"]}
    else:
        given[field] = ["a", "b", "a"]
    with pytest.raises(ValidationError, match=f"{field}\n.*'a' is named twice"):
        workflow_request.validate_python(given)


class TestDevice:
    @pytest.mark.parametrize(
        ("given", "name"), [("CPU", "cpu"), (" cuda ", "cuda"), ("Cuda:1", "cuda:1")]
    )
    def test_has_one_spelling(self, given, name):
        assert Inference(**{**INFERENCE, "device": given}).device == name

    @pytest.mark.parametrize("given", ["", "tpu", "cuda:", "cuda:x", "gpu", "cuda:-1"])
    def test_others_are_refused(self, given):
        with pytest.raises(ValidationError, match="pass cpu, cuda, or cuda:1"):
            Inference(**{**INFERENCE, "device": given})


class TestNamedEnum:
    @pytest.mark.parametrize("given", ["XLARGE", "x-large", "xlarge", RuntimeEnum.XLARGE])
    def test_takes_member_name_or_value_in_any_case(self, given):
        assert RuntimeEnum.parse(given) is RuntimeEnum.XLARGE

    def test_an_unknown_name_is_answered_with_the_known_ones(self):
        with pytest.raises(errors.InvalidInput, match="SMALL, MEDIUM"):
            RuntimeEnum.parse("gigantic")


class TestErrorTree:
    def test_every_code_leads_back_to_its_class(self):
        pending = [errors.LandloomError]
        while pending:
            kind = pending.pop()
            pending.extend(kind.__subclasses__())
            if kind.__module__ == errors.__name__:
                assert errors.by_code(kind.code) is kind

    def test_a_subclass_of_another_module_does_not_take_a_code_over(self):
        class Elsewhere(errors.NotFound):
            """Inherits its code."""

        assert errors.by_code(Elsewhere.code) is errors.NotFound

    def test_an_unknown_code_is_a_workflow_error(self):
        assert errors.by_code("NEW") is errors.WorkflowError

    def test_reads_as_problem_and_way_out(self):
        assert (
            str(errors.NotFound("No run 5.", suggestion="Look again.")) == "No run 5. Look again."
        )
