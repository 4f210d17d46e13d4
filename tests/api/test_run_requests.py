"""What `POST /runs` takes, and what it makes of it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from landloom.server.accounts.rights import ADMIN
from tests.api.platform import Platform
from tests.api.principals import add_principal

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def body(api: Platform) -> dict[str, Any]:
    # No such object: these runs fail quickly, and nothing here looks at how they end.
    return {"runPython": {"uri": api.storage.user_path + "absent.py"}}


def refused(api: Platform, body: dict[str, Any], field: str | None, **query: str) -> None:
    answer = api.client.post("/runs", json=body, params=query)
    assert answer.status_code == 422, answer.text
    errors = answer.json()["errors"]
    assert {error["code"] for error in errors} == {"INVALID_INPUT_ERROR"}
    assert field in [error.get("field") for error in errors], errors


class TestNormalisedPayload:
    def test_defaults_are_filled_in(self, api: Platform, body: dict[str, Any]) -> None:
        answer = api.client.post("/runs", json=body)
        assert answer.status_code == 201
        run = answer.json()
        assert run["name"] == f"run-{run['id']}"
        assert run["region"] == "aws-us-west-2"
        assert run["payload"] == {
            "runtime": "tiny",
            "version": "latest",
            "runPython": {"uri": body["runPython"]["uri"], "args": []},
            "runJar": None,
            "environment": {
                "sparkDriverDiskGB": None,
                "sparkExecutorDiskGB": None,
                "sparkConfigs": {},
                "dependencies": [],
            },
            "name": run["name"],
            "timeoutSeconds": 3600,
            "region": "aws-us-west-2",
        }
        assert run["triggeredBy"]["id"] == api.admin.user_id
        assert run["triggeredBy"]["roles"][0]["policies"][0]["effect"] == "ALLOW"

    def test_null_means_absent(self, api: Platform, body: dict[str, Any]) -> None:
        body |= dict.fromkeys(
            ("runtime", "name", "version", "runJar", "timeoutSeconds", "environment")
        )
        run = api.client.post("/runs", json=body).json()
        assert run["payload"]["timeoutSeconds"] == 3600
        assert run["payload"]["environment"]["dependencies"] == []

    def test_unknown_fields_are_ignored(self, api: Platform, body: dict[str, Any]) -> None:
        assert api.client.post("/runs", json=body | {"colour": "red"}).status_code == 201

    def test_old_runtime_spellings_become_new(self, api: Platform, body: dict[str, Any]) -> None:
        run = api.client.post("/runs", json=body | {"runtime": "XLARGE"}).json()
        assert run["payload"]["runtime"] == "x-large"

    def test_a_timeout_beyond_the_limit_is_lowered(
        self, api: Platform, body: dict[str, Any]
    ) -> None:
        run = api.client.post("/runs", json=body | {"timeoutSeconds": 10**9}).json()
        assert run["payload"]["timeoutSeconds"] == 24 * 3600

    def test_spaces_around_the_uri_are_trimmed(self, api: Platform, body: dict[str, Any]) -> None:
        uri = body["runPython"]["uri"]
        run = api.client.post("/runs", json={"runPython": {"uri": f" {uri}"}}).json()
        assert run["payload"]["runPython"]["uri"] == uri

    def test_dependencies_are_understood_by_their_keys(
        self, api: Platform, body: dict[str, Any]
    ) -> None:
        body["environment"] = {
            "sparkConfigs": {"spark.x": "1"},
            "dependencies": [
                {"libraryName": "pandas", "libraryVersion": ">=2,<3"},
                {"sourceType": "PYPI", "libraryName": "rich", "libraryVersion": ""},
                {"filePath": "s3://a/b/Code.WHL"},
                {"sourceType": "FILE", "filePath": "s3://a/b/c.json"},
            ],
        }
        run = api.client.post("/runs", json=body).json()
        environment = run["payload"]["environment"]
        assert environment["sparkConfigs"] == {"spark.x": "1"}
        assert environment["dependencies"] == [
            {"sourceType": "PYPI", "libraryName": "pandas", "libraryVersion": ">=2,<3"},
            {"sourceType": "PYPI", "libraryName": "rich", "libraryVersion": None},
            {"sourceType": "FILE", "filePath": "s3://a/b/Code.WHL", "fileType": "PYTHON_WHEEL"},
            {"sourceType": "FILE", "filePath": "s3://a/b/c.json", "fileType": "OTHER"},
        ]

    def test_a_region_of_the_query_is_taken(self, api: Platform, body: dict[str, Any]) -> None:
        run = api.client.post("/runs", json=body, params={"region": "aws-eu-west-1"}).json()
        assert (run["region"], run["payload"]["region"]) == ("aws-eu-west-1",) * 2


class TestLarge:
    def test_what_a_process_can_just_be_given_reaches_it(self, api: Platform) -> None:
        # Just within the bounds, and written with six bytes of JSON for two of text.
        args = ["é" * 65_535, *["x" * 100_000] * 9, "last"]
        script = "import sys; print(len(sys.argv), sum(map(len, sys.argv[1:])), sys.argv[-1])"
        run = api.finished(api.submit(script, args=args)["id"], 90)
        assert run["status"] == "COMPLETED", run["kubeApp"]["events"]
        assert api.lines(run["id"]) == [f"12 {65_535 + 900_000 + 4} last"]


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"name": "short"}, "name"),
            ({"name": "x" * 256}, "name"),
            ({"name": "with a space"}, "name"),
            ({"name": "newline-at-end\n"}, "name"),
            ({"runtime": "gigantic"}, "runtime"),
            ({"version": "0.0.1"}, "version"),
            ({"timeoutSeconds": 0}, "timeoutSeconds"),
            ({"timeoutSeconds": -5}, "timeoutSeconds"),
            ({"timeoutSeconds": "soon"}, "timeoutSeconds"),
            ({"runPython": None}, None),
            ({"runJar": {"uri": "s3://landloom/a/b.jar"}}, None),
            ({"runPython": {"uri": "https://example.org/x.py"}}, "runPython.uri"),
            ({"runPython": {"uri": "s3://bucket-only"}}, "runPython.uri"),
            ({"runPython": {"uri": "s3://elsewhere/x.py"}}, "runPython.uri"),
            ({"runPython": {"uri": "s3://landloom/other-org/data/x.py"}}, "runPython.uri"),
            ({"environment": {"sparkConfigs": {"a": 1}}}, "environment.sparkConfigs.a"),
        ],
    )
    def test_with_the_field_that_is_wrong(
        self, api: Platform, body: dict[str, Any], change: dict[str, Any], field: str | None
    ) -> None:
        refused(api, body | change, field)

    def test_a_way_that_leads_out_of_ones_own_folder(
        self, api: Platform, body: dict[str, Any]
    ) -> None:
        around = f"{api.storage.user_path}../customer-another/x.py"
        refused(api, body | {"runPython": {"uri": around}}, "runPython.uri")

    @pytest.mark.parametrize("args", [["\0"], [1], "text", ["\ud800"]])
    def test_arguments_that_no_process_can_be_given(
        self, api: Platform, body: dict[str, Any], args: Any
    ) -> None:
        body["runPython"]["args"] = args
        answer = api.client.post("/runs", content=json.dumps(body), headers=JSON)
        assert answer.status_code == 422, answer.text

    @pytest.mark.parametrize(
        "configs",
        [
            {"a": "\ud800"},
            {"\ud800": "b"},
            {"a\0": "b"},
            {"a": "b\0"},
            {"a": "two\nlines"},
            {"a": "back\\slash"},
            {"": "nameless"},
            {" ": "nameless"},
            {"two words": "b"},
            {"a=b": "c"},
        ],
    )
    def test_settings_of_spark_that_no_file_can_say(
        self, api: Platform, body: dict[str, Any], configs: dict[str, str]
    ) -> None:
        body["environment"] = {"sparkConfigs": configs}
        answer = api.client.post("/runs", content=json.dumps(body), headers=JSON)
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert "environment.sparkConfigs" in json.dumps(error)

    @pytest.mark.parametrize(
        "dependency",
        [
            {"libraryName": "not a name"},
            {"libraryName": "-x"},
            {"libraryName": "x", "libraryVersion": "--index-url=http://evil"},
            {"libraryName": "x", "libraryVersion": "1.0 ; os_name"},
            {"filePath": "s3://a/b.txt"},
            {"filePath": "s3://a/b"},
            {"sourceType": "GIT", "libraryName": "x"},
            {},
            "pandas",
        ],
    )
    def test_dependencies_that_are_none(
        self, api: Platform, body: dict[str, Any], dependency: Any
    ) -> None:
        body["environment"] = {"dependencies": [dependency]}
        answer = api.client.post("/runs", json=body)
        assert answer.status_code == 422
        # Nothing of how it is checked.
        assert "()" not in answer.text

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"args": ["a", "x" * (128 * 1024)]}, "runPython.args.1"),
            ({"args": ["é" * (64 * 1024)]}, "runPython.args.0"),
            ({"args": ["x" * 100_000] * 11}, "runPython.args"),
            ({"args": [""] * 120_000}, "runPython.args"),
            ({"uri": "s3://landloom/" + "k" * 1025}, "runPython.uri"),
            ({"configs": {"spark.x": "x" * (256 * 1024)}}, "environment.sparkConfigs"),
            ({"configs": {f"spark.{n}": "" for n in range(1001)}}, "environment.sparkConfigs"),
            ({"needs": [{"libraryName": "rich"}] * 1001}, "environment.dependencies"),
            ({"needs": [{"libraryName": "r" * 1025}]}, "environment.dependencies.0.libraryName"),
            (
                {"needs": [{"libraryName": "rich", "libraryVersion": "1." * 1000 + "0"}]},
                "environment.dependencies.0.libraryVersion",
            ),
            (
                {"needs": [{"filePath": f"s3://a/{'b' * 1021}.whl"}]},
                "environment.dependencies.0.filePath",
            ),
            (
                {"needs": [{"filePath": f"/{'b' * 4096}.whl"}]},
                "environment.dependencies.0.filePath",
            ),
        ],
    )
    def test_what_no_process_store_or_runtime_takes(
        self, api: Platform, body: dict[str, Any], change: dict[str, Any], field: str
    ) -> None:
        body["environment"] = {
            "sparkConfigs": change.get("configs", {}),
            "dependencies": change.get("needs", []),
        }
        body["runPython"] |= {name: change[name] for name in ("uri", "args") if name in change}
        answer = api.client.post("/runs", json=body)
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert error["field"] == field
        assert len(answer.content) < 2000

    def test_a_dependency_of_an_unknown_type(self, api: Platform, body: dict[str, Any]) -> None:
        body["environment"] = {"dependencies": [{"sourceType": "GIT", "libraryName": "x"}]}
        (error,) = api.client.post("/runs", json=body).json()["errors"]
        assert error["message"].endswith("sourceType must be PYPI or FILE")

    def test_an_unknown_region(self, api: Platform, body: dict[str, Any]) -> None:
        refused(api, body, "region", region="moon-1")

    def test_what_is_not_json(self, api: Platform) -> None:
        answer = api.client.post("/runs", content=b"{", headers={"content-type": "text/json"})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["code"] == "INVALID_INPUT_ERROR"

    def test_every_wrong_field_is_listed(self, api: Platform, body: dict[str, Any]) -> None:
        answer = api.client.post("/runs", json=body | {"name": "x", "timeoutSeconds": 0})
        fields = [error["field"] for error in answer.json()["errors"]]
        assert fields == ["name", "timeoutSeconds"]


RUN_FIELDS = {"name", "runtime", "timeoutSeconds", "version", "environment"}


class TestIdempotency:
    def test_tries_with_one_key_make_one_run(self, api: Platform) -> None:
        body = {"name": "once-only", "runPython": {"uri": api.storage.user_path + "absent.py"}}

        def submit(key: str) -> httpx.Response:
            return api.client.post("/runs", json=body, headers={"Idempotency-Key": key})

        first = submit("try-1")
        with ThreadPoolExecutor(6) as pool:
            later = list(pool.map(submit, ["try-1"] * 6))
        assert {answer.status_code for answer in (first, *later)} == {201}
        assert {answer.json()["id"] for answer in later} == {first.json()["id"]}
        assert submit("try-2").json()["id"] != first.json()["id"]

    def test_first_tries_at_the_same_moment_make_one_run(self, api: Platform) -> None:
        body = {"name": "at-one-time", "runPython": {"uri": api.storage.user_path + "absent.py"}}
        headers = {"Idempotency-Key": "same-moment"}
        with ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(lambda _: api.client.post("/runs", json=body, headers=headers), range(8))
            )
        # One that lost the race may be told to try again, which is no failure to clients.
        assert {answer.status_code for answer in answers} <= {201, 409}
        made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
        assert len(made) == 1
        assert api.client.get("/runs", params={"name": "at-one-time"}).json()["total"] == 1

    def test_a_try_is_the_same_request_however_it_is_written(self, api: Platform) -> None:
        uri = api.storage.user_path + "absent.py"
        headers = {"Idempotency-Key": "written-anew"}
        tries: list[dict[str, Any]] = [
            {"runPython": {"uri": uri}, "timeoutSeconds": 10**9, "runtime": "XLARGE"},
            {"timeoutSeconds": 10**9, "runPython": {"args": None, "uri": f" {uri}"}, "name": None},
            {"runPython": {"uri": uri, "args": []}, "timeoutSeconds": 86400, "runtime": "x-large",
             "version": "latest", "environment": {"dependencies": []}, "colour": "red"},
        ]  # fmt: skip
        answers = [api.client.post("/runs", json=each, headers=headers) for each in tries]
        assert [answer.status_code for answer in answers] == [201] * 3
        assert len({answer.json()["id"] for answer in answers}) == 1

    @pytest.mark.parametrize(
        "change",
        [
            {"name": "another-one"},
            {"runtime": "small"},
            {"timeoutSeconds": 5},
            {"version": "preview"},
            {"args": ["2025"]},
            {"environment": {"sparkConfigs": {"spark.x": "1"}}},
            {"environment": {"dependencies": [{"libraryName": "rich"}]}},
            {"region": "aws-eu-west-1"},
        ],
    )
    def test_another_request_with_a_key_is_refused(
        self, api: Platform, change: dict[str, Any]
    ) -> None:
        key = f"mine-{change}"
        source = {"uri": api.storage.user_path + "absent.py", "args": ["2024"]}
        body = {"name": "first-one", "runPython": source, "runtime": "micro"}

        def submit(body: dict[str, Any], region: str | None = None) -> httpx.Response:
            query = {"region": region} if region else {}
            headers = {"Idempotency-Key": key}
            return api.client.post("/runs", json=body, params=query, headers=headers)

        made = submit(body)
        changed = body | {name: value for name, value in change.items() if name in RUN_FIELDS}
        if "args" in change:
            changed["runPython"] = source | change
        answer = submit(changed, change.get("region"))
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert error["field"] == "Idempotency-Key"
        assert key in error["message"]
        assert made.json()["id"] in error["message"]
        assert submit(body).json()["id"] == made.json()["id"]

    def test_without_a_key_each_post_is_a_run(self, api: Platform) -> None:
        body = {"name": "each-anew", "runPython": {"uri": api.storage.user_path + "absent.py"}}
        ids = {api.client.post("/runs", json=body).json()["id"] for _ in range(3)}
        assert len(ids) == 3

    def test_anothers_key_is_not_mine(self, api: Platform) -> None:
        other = add_principal(api, role=ADMIN)
        headers = {"Idempotency-Key": "shared-word"}
        body = {"name": "mine-yours", "runPython": {"uri": api.storage.user_path + "absent.py"}}
        mine = api.client.post("/runs", json=body, headers=headers)
        with other.client(api) as client:
            yours = client.post("/runs", json=body, headers=headers)
        assert yours.json().get("id") != mine.json()["id"]
