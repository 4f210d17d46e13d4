import pytest
from pydantic import ValidationError

from landloom import errors
from landloom.wire.enums import RuntimeEnum
from landloom.wire.requests import BuildAndPredictRecipe, VectorizeMosaic, workflow_request

WINDOW = {"aoi": "a.geojson", "start": "2023-01-01", "end": "2024-01-01"}


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
