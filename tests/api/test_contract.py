"""The public contract, route by route: we take all that clients send and answer what they read.

`runs-contract.json` holds the facts of the public API: paths, names, parameters and schemas.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jsonschema
import pytest

from tests.api.platform import Platform

CONTRACT = json.loads(Path(__file__).with_name("runs-contract.json").read_text())
SCHEMAS = CONTRACT["components"]["schemas"]
INTEGERS = {"LogItem": ["timestamp"], "LogsResponse": ["current_page", "next_page"]}
"""Strings in the public document; but its clients read them as integers, and break on others."""
FREE_TEXT = {"RuntimeId"}
"""We name a runtime in a string, so that what is wrong with it can be said in a sentence."""
STORAGE = ("/files", "/storage")
ROUTES = [(path, method) for path, item in CONTRACT["paths"].items() for method in item]


for kind, fields in INTEGERS.items():
    for field in fields:
        SCHEMAS[kind]["properties"][field] = {"anyOf": [{"type": "integer"}, {"type": "null"}]}


@pytest.fixture(scope="module")
def api(stored: Platform) -> Platform:
    """The platform, over a real store: its files are looked at as well."""
    return stored


@pytest.fixture(scope="module")
def document(api: Platform) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{api.url}/openapi.json").json()
    return found


class Shapes:
    """Compares what one schema lets through with what another does."""

    def __init__(self, given: dict[str, Any], taken: dict[str, Any]) -> None:
        self.given = given
        self.taken = taken
        self.seen: set[str] = set()

    def misfits(self, given: Any, taken: Any, where: str) -> Iterator[str]:
        """Yield where a value of `given` might not be one of `taken`."""
        key = f"{json.dumps(given)} {json.dumps(taken)}"
        if key in self.seen or not taken:
            return
        self.seen.add(key)
        sources, targets = [*variants(given, self.given)], [*variants(taken, self.taken)]
        for source in sources:
            reasons = [[*self._misfits(source, target, where)] for target in targets]
            if all(reasons):
                yield min(reasons, key=len)[0]

    def _misfits(self, given: dict[str, Any], taken: dict[str, Any], where: str) -> Iterator[str]:
        kinds = {given.get("type"), taken.get("type")}
        if len(kinds - {None}) == 2 and kinds != {"integer", "number"}:
            yield f"{where}: {given.get('type')} is no {taken.get('type')}"
        elif "enum" in taken and not names(given) <= names(taken):
            yield f"{where}: {sorted(names(given) - names(taken))} not among {taken['enum']}"
        for name in taken.get("required", ()):
            if name not in given.get("required", ()):
                yield f"{where}.{name}: is not always there"
        for name, field in taken.get("properties", {}).items():
            if name in given.get("properties", {}):
                yield from self.misfits(given["properties"][name], field, f"{where}.{name}")
        if "items" in taken and "items" in given:
            yield from self.misfits(given["items"], taken["items"], f"{where}[]")
        if isinstance(taken.get("additionalProperties"), dict) and isinstance(
            given.get("additionalProperties"), dict
        ):
            yield from self.misfits(
                given["additionalProperties"], taken["additionalProperties"], f"{where}{{}}"
            )


def names(schema: dict[str, Any]) -> set[str]:
    if "const" in schema:
        return {schema["const"]}
    return set(schema.get("enum", {"any text"}))


def variants(schema: Any, root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the plain schemas behind references and alternatives."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        if name in FREE_TEXT:
            yield {"type": "string"}
            return
        yield from variants(root[name], root)
    elif "anyOf" in schema or "oneOf" in schema:
        for each in schema.get("anyOf") or schema["oneOf"]:
            yield from variants(each, root)
    else:
        yield schema


def properties(schema: Any, root: dict[str, Any]) -> set[str]:
    return {name for each in variants(schema, root) for name in each.get("properties", ())}


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
class TestRoute:
    def test_has_its_name_parameters_and_security(
        self, document: dict[str, Any], route: tuple[str, str]
    ) -> None:
        path, method = route
        wanted, ours = CONTRACT["paths"][path][method], document["paths"][path][method]
        assert ours["operationId"] == wanted["operationId"]
        assert sorted(name for each in ours["security"] for name in each) == wanted["security"]
        parameters = {(each["name"], each["in"]): each for each in ours.get("parameters", ())}
        shapes = Shapes(SCHEMAS, document["components"]["schemas"])
        for each in wanted["parameters"]:
            mine = parameters.pop((each["name"], each["in"]))
            assert mine.get("required", False) == each["required"]
            where = f"{method} {path} ?{each['name']}"
            assert [*shapes.misfits(each["schema"], mine["schema"], where)] == []
        assert not any(each.get("required") for each in parameters.values())

    def test_takes_every_body_that_clients_send(
        self, document: dict[str, Any], route: tuple[str, str]
    ) -> None:
        path, method = route
        wanted, ours = CONTRACT["paths"][path][method], document["paths"][path][method]
        body = ours.get("requestBody")
        assert (body is None) == (wanted["request"] is None)
        if body is None:
            return
        mine = body["content"]["application/json"]["schema"]
        schemas = document["components"]["schemas"]
        shapes = Shapes(SCHEMAS, schemas)
        assert [*shapes.misfits(wanted["request"], mine, f"{method} {path}")] == []
        assert properties(wanted["request"], SCHEMAS) <= properties(mine, schemas)

    def test_answers_what_clients_read(
        self, document: dict[str, Any], route: tuple[str, str]
    ) -> None:
        path, method = route
        wanted, ours = CONTRACT["paths"][path][method], document["paths"][path][method]
        answer = ours["responses"][wanted["status"]]
        assert {"400", "401", "403", "404", "409", "422", "500"} <= set(ours["responses"])
        if wanted["response"] is None:
            assert "application/json" not in answer.get("content", {})
            return
        mine = answer["content"]["application/json"]["schema"]
        schemas = document["components"]["schemas"]
        shapes = Shapes(schemas, SCHEMAS)
        assert [*shapes.misfits(mine, wanted["response"], f"{method} {path}")] == []


def test_real_answers_are_those_of_the_contract(api: Platform) -> None:
    run = api.submit("import sys; print('hello'); sys.exit(3)")
    ended = api.finished(run["id"])
    key = api.client.post("/apikey", json={"name": "k", "expiresAt": "2999-01-01T00:00:00Z"}).json()
    ids = {"run_id": run["id"], "api_key_id": key["id"]}
    parameters = {"region": "aws-us-east-2", "runtime_id": "small", "timerange": "7d"}
    bodies: dict[str, Any] = {
        "createJobRun": {"name": "test-run", "runPython": ended["payload"]["runPython"]},
        "createApiKey": {"name": "k", "expiresAt": "2999-01-01T00:00:00Z"},
        "updateApiKey": {"expiresAt": "2999-01-01T00:00:00Z"},
        "getWorkloadCosts": {"kubeAppIds": [ended["kubeApp"]["id"], "absent"]},
    }
    seen = set()
    routes = [route for route in ROUTES if not route[0].startswith(STORAGE)]
    for path, method in routes:
        wanted = CONTRACT["paths"][path][method]
        if wanted["operationId"] == "cancelRasterflowRun":
            continue
        asked = {each["name"] for each in wanted["parameters"] if each["in"] == "query"}
        if path == "/runs":
            asked = set()
        answer = api.client.request(
            method,
            path.format(**ids),
            params={name: value for name, value in parameters.items() if name in asked},
            json=bodies.get(wanted["operationId"]),
        )
        assert str(answer.status_code) == wanted["status"], answer.text
        validate(answer.json(), wanted["response"])
        seen.add(wanted["operationId"])
    assert len(seen) == len(routes) - 1
    missing = api.client.get("/runs/absent")
    validate(missing.json(), {"$ref": "#/components/schemas/ErrorBody"})
    assert api.client.delete("/rasterflow/runs/absent").status_code == 404


def test_real_answers_about_files_are_those_of_the_contract(api: Platform) -> None:
    own = f"{api.settings.bucket}/{api.storage.private_prefix}"
    home = f"/storage/{quote('user_files::aws-us-west-2', safe='')}"
    integration = {
        "name": "i",
        "path": "s3://bucket/prefix",
        "endpointUrl": api.settings.s3_endpoint,
    }
    made = api.client.post("/storage", json=integration).json()
    asked = [
        ("listIntegration", "get", "/storage", {}),
        ("createIntegration", "post", "/storage", {"json": integration | {"name": "j"}}),
        ("getIntegration", "get", f"/storage/{made['id']}", {}),
        ("verifyIntegrationAccess", "post", f"/storage/{made['id']}/access", {}),
        ("verifyAbacAccess", "post", f"/storage/{made['id']}/abacaccess", {}),
        ("getSamplePolicy", "get", f"/storage/{made['id']}/sample-policy", {}),
        ("getTrustRelationship", "get", "/storage/trust-relationship",
         {"params": {"trustedAccountIds": "123456789012"}}),
        ("getStorageCredentials", "post", "/storage/credentials", {"json": {"path": f"s3://{own}"}}),
        ("createIngestCredentials", "post", "/files/ingest-credentials", {}),
        ("createDirectory", "put", f"{home}/directories/folder", {}),
        ("createFileUploadUrl", "post", f"{home}/file-upload-url/folder/file", {}),
        ("createFolder", "post", "/files/folder", {"params": {"dir": own, "name": "other"}}),
        ("createUploadUrl", "post", "/files/upload-url", {"params": {"key": f"{own}file"}}),
        ("listDirectoryContents", "get", f"{home}/directories/", {"params": {"limit": 1}}),
        ("getDirectory", "get", "/files/dir", {"params": {"dir": own}}),
        ("renameFileInStorage", "post", f"{home}/file-rename/folder/file",
         {"params": {"new_name": "b"}}),
        ("downloadFileFromStorage", "get", f"{home}/files/folder/b", {}),
        ("downloadFile", "get", "/files/download", {"params": {"key": f"{own}folder/b"}}),
        ("renameFile", "post", "/files/rename",
         {"params": {"key": f"{own}folder/b", "new_name": "c"}}),
        ("deleteFileFromStorage", "delete", f"{home}/files/folder/c", {}),
        ("deleteFiles", "delete", "/files", {"json": [f"{own}file", f"{own}other/"]}),
        ("deleteDirectory", "delete", f"{home}/directories/folder", {}),
        ("deleteIntegration", "delete", f"/storage/{made['id']}", {}),
    ]  # fmt: skip
    by_name = {
        each["operationId"]: each for item in CONTRACT["paths"].values() for each in item.values()
    }
    for name, method, url, options in asked:
        wanted, answer = by_name[name], api.client.request(method, url, **options)
        assert str(answer.status_code) == wanted["status"], f"{name}: {answer.text}"
        if wanted["response"]:
            validate(answer.json(), wanted["response"])
        if name == "createFileUploadUrl":
            httpx.put(answer.json()["uploadUrl"], content=b"bytes", trust_env=False)
    elsewhere = {"getIntegrationDirectory", "getS3AccessType"}  # they need another store
    routes = {
        CONTRACT["paths"][path][method]["operationId"]
        for path, method in ROUTES
        if path.startswith(STORAGE)
    }
    assert {name for name, *_ in asked} == routes - elsewhere


def validate(answer: Any, schema: dict[str, Any]) -> None:
    whole = {**schema, "components": CONTRACT["components"]}
    jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(
        answer
    )
