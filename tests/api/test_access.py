"""Every route, seen by the anonymous, by another organization and by a lesser role."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from landloom.server.accounts.rights import ADMIN, USER
from tests.api.platform import Platform
from tests.api.principals import Principal, add_principal

OPEN = {"/health"}
ALL = {"action": "*", "locator": "*"}
METHODS = ("get", "post", "put", "patch", "delete")
WORKFLOW = {"kind": "predict_mosaic", "mosaics": ["m.zarr"], "inference": {
    "model_path": "m.pt2", "patch_size": 64, "clip_size": 8, "features": ["a"], "labels": ["b"],
}}  # fmt: skip
BODIES: dict[str, Any] = {
    "createApiKey": {"name": "k", "expiresAt": "2999-01-01T00:00:00Z"},
    "updateApiKey": {"expiresAt": "2999-01-01T00:00:00Z"},
    "createRasterflowRun": WORKFLOW,
    "createUser": {"name": "ada", "email": "ada@example.org"},
    "setRole": {"policies": []},
    "updateOrganization": {"state": "SUSPENDED"},
    "createOrganization": {
        "name": "o",
        "adminName": "a",
        "adminEmail": "a@b.c",
        "expiresAt": "2999-01-01T00:00:00Z",
    },
    "getWorkloadCosts": {"kubeAppIds": ["absent"]},
    "deleteFiles": ["bucket/key"],
    "createUploadUrls": ["bucket/key"],
    "getStorageCredentials": {"path": "s3://bucket/key"},
    "createIntegration": {
        "name": "i",
        "path": "s3://bucket",
        "endpointUrl": "http://127.0.0.1:9",
        "region": "r",
    },
}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item and path not in OPEN:
                yield method, path, item[method]


@pytest.fixture(scope="module")
def document(api: Platform) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{api.url}/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def ours(api: Platform) -> dict[str, str]:
    """Ids of things of the first organization, by their parameters' names in paths."""
    run = api.submit("print('hello')")
    key = api.client.post("/apikey", json={"name": "k", "expiresAt": "2999-01-01T00:00:00Z"}).json()
    workflow = api.client.post("/rasterflow/runs", json=WORKFLOW).json()
    api.client.put("/organization/roles/ours", json={"policies": []})
    integration = api.client.post("/storage", json=BODIES["createIntegration"]).json()
    return {
        "run_id": run["id"],
        "rasterflow": workflow["id"],
        "api_key_id": key["id"],
        "user_id": add_principal(api, role=USER).user_id,
        "role_name": "ours",
        "integration_id": integration["id"],
        "storage_id": integration["id"],
        "path": "file",
        "organization_id": api.admin.org_id,
    }


def ask(
    client: httpx.Client, method: str, path: str, operation: dict[str, Any], ids: dict[str, str]
) -> httpx.Response:
    filled = path.format(**ids | ({"run_id": ids["rasterflow"]} if "rasterflow" in path else {}))
    query = {
        each["name"]: "x" for each in operation.get("parameters", [])
        if each["in"] == "query" and each.get("required")
    }  # fmt: skip
    body = BODIES.get(operation["operationId"], {})
    return client.request(
        method, filled, params=query, json=body if "requestBody" in operation else None
    )


def test_the_anonymous_get_nothing(api: Platform, document: dict[str, Any], ours: dict[str, str]):
    with httpx.Client(base_url=api.url) as nobody:
        seen = {
            (method, path): ask(nobody, method, path, operation, ours)
            for method, path, operation in operations(document)
        }
    assert len(seen) > 15
    assert {route: answer.status_code for route, answer in seen.items()} == dict.fromkeys(seen, 401)
    assert all(
        answer.json()["errors"][0]["code"] == "UNAUTHORIZED_ERROR" for answer in seen.values()
    )


def test_a_role_without_rights_is_refused_everywhere(
    api: Platform, document: dict[str, Any], ours: dict[str, str]
):
    powerless = add_principal(api, policies=())
    with powerless.client(api) as client:
        seen = {
            (method, path): ask(client, method, path, operation, ours).status_code
            for method, path, operation in operations(document)
        }
    assert seen == dict.fromkeys(seen, 403)


def test_another_organizations_admin_finds_nothing_of_ours(
    api: Platform, document: dict[str, Any], ours: dict[str, str]
):
    stranger = add_principal(api, role=ADMIN, organization_id="")
    with stranger.client(api) as client:
        seen = {
            (method, path): ask(client, method, path, operation, ours).status_code
            for method, path, operation in operations(document)
            # A role's name is the caller's own choice, whatever others call theirs.
            if "{" in path and "{role_name}" not in path
        }
        assert len(seen) >= 8
        assert seen == dict.fromkeys(seen, 404)
        assert client.put("/organization/roles/ours", json={"policies": [ALL]}).status_code == 200
        assert client.delete("/organization/roles/ours").status_code == 200
        assert [
            role["policies"]
            for role in api.client.get("/organization/roles").json()
            if role["name"] == "ours"
        ] == [[]]
        assert client.get("/runs").json()["total"] == 0
        assert client.get("/rasterflow/runs").json()["items"] == []
        assert [key["ownedBy"]["id"] for key in client.get("/organization/apikeys").json()] == [
            stranger.user_id
        ]
        organization = client.get("/organization").json()
        assert organization["id"] == stranger.organization_id
        assert [user["id"] for user in organization["users"]] == [stranger.user_id]


def test_a_strangers_key_of_the_same_name_opens_only_its_own(api: Platform):
    first, second = (add_principal(api, role=ADMIN, organization_id="") for _ in range(2))
    with first.client(api) as one, second.client(api) as two:
        assert one.get("/users/me").json()["organizationId"] == first.organization_id
        assert two.get("/users/me").json()["organizationId"] == second.organization_id


def _rights_of(principal: Principal, api: Platform) -> dict[str, int]:
    with principal.client(api) as client:
        return {
            "read": client.get("/runs").status_code,
            "default": client.put(
                "/organization/default-region", params={"region": "local"}
            ).status_code,
            "keys": client.get("/organization/apikeys").status_code,
            "people": client.post("/organization/users", json={"name": "x"}).status_code,
            "platform": client.get("/organizations").status_code,
        }


def test_a_runs_key_has_its_owners_rights_but_administers_nothing(api: Platform):
    run_key = add_principal(api, role=ADMIN, run_id="run0")
    seen = _rights_of(run_key, api)
    assert seen["read"] == 200
    assert seen["default"] == 403
    assert seen["keys"] == 403
    assert seen["people"] == 403
    assert seen["platform"] == 403


def test_only_the_platforms_own_organization_sees_the_platforms_routes(api: Platform):
    stranger = add_principal(api, role=ADMIN, organization_id="")
    with stranger.client(api) as client:
        assert client.get("/organizations").status_code == 404
    assert api.client.get("/organizations").status_code == 200
