"""Whatever fits our own OpenAPI, or just does not: never a 5xx, nor an answer it does not say."""

from __future__ import annotations

from typing import Any

import hypothesis
import hypothesis.errors
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.platform import Platform

EXAMPLES = 8
"""Requests an operation: some forty operations on two databases take about a minute."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def api(stored: Platform) -> Platform:
    """The platform, over a real store: its files are looked at as well."""
    return stored


@pytest.fixture(scope="module")
def operations(api: Platform) -> list[Any]:
    schema = schemathesis.openapi.from_url(f"{api.url}/openapi.json", timeout=60)
    return [result.ok() for result in schema.get_all_operations()]


def answer_all(
    api: Platform, operation: Any, mode: schemathesis.GenerationMode, seen: set[int]
) -> None:
    """Send what fits an operation, or what just does not; fail at an answer it does not say."""

    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def answered(case: schemathesis.Case) -> None:
        headers = {"X-API-Key": api.admin.api_key}
        response = case.call_and_validate(headers=headers, checks=CHECKS, timeout=60)
        seen.add(response.status_code)

    answered()


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=str)
def test_every_answer_is_one_that_the_document_says(
    api: Platform, operations: list[Any], mode: schemathesis.GenerationMode
) -> None:
    wrong: dict[str, str] = {}
    seen: set[int] = set()
    for operation in operations:
        try:
            answer_all(api, operation, mode, seen)
        except hypothesis.errors.Unsatisfiable:
            # Nothing that does not fit can be made of an operation without a parameter.
            assert mode is schemathesis.GenerationMode.NEGATIVE
        except Exception as problem:  # noqa: BLE001 - all operations are tried, then all is told
            wrong[operation.label] = f"{problem}"
    assert wrong == {}
    assert len(operations) > 35
    # What fits is answered, what does not is refused: it is not all one dull 404.
    assert seen >= ({200, 404} if mode is schemathesis.GenerationMode.POSITIVE else {404, 422})


@pytest.mark.parametrize(
    "instant", ["0001-01-01", "0001-01-02T00:00:00+14:00", "9999-12-31T23:59:59.999999Z"]
)
def test_the_ends_of_the_calendar_are_instants_like_others(api: Platform, instant: str) -> None:
    paths = api.client.get("/openapi.json").json()["paths"]
    asked = [
        (path, {each["name"]: instant})
        for path, item in paths.items()
        for each in item.get("get", {}).get("parameters", [])
        if "date-time" in f"{each['schema']}"
    ]
    assert {"/runs", "/usage/history"} <= {path for path, _ in asked}
    for path, query in asked:
        assert api.client.get(path, params=query).status_code in {200, 422}, (path, query)
    body = {"name": "k", "expiresAt": instant}
    assert api.client.post("/apikey", json=body).status_code in {200, 201, 422}
