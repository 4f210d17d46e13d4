"""Every route, seen by the anonymous, by another organization and by a lesser role."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from landloom.server.accounts.rights import ADMIN
from tests.api.platform import Platform
from tests.api.principals import Principal, add_principal

OPEN = {"/health"}
METHODS = ("get", "post", "put", "patch", "delete")
WORKFLOW = {"kind": "predict_mosaic", "mosaics": ["m.zarr"], "inference": {
    "model_path": "m.pt2", "patch_size": 64, "clip_size": 8, "features": ["a"], "labels": ["b"],
}}  # fmt: skip
BODIES: dict[str, Any] = {
    "createApiKey": {"name": "k", "expiresAt": "2999-01-01T00:00:00Z"},
    "updateApiKey": {"expiresAt": "2999-01-01T00:00:00Z"},
    "createRasterflowRun": WORKFLOW,
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
    """Ids of things of the first organization, by the name of the path's parameter."""
    run = api.submit("print('hello')")
    key = api.client.post("/apikey", json={"name": "k", "expiresAt": "2999-01-01T00:00:00Z"}).json()
    workflow = api.client.post("/rasterflow/runs", json=WORKFLOW).json()
    return {"runs": run["id"], "rasterflow": workflow["id"], "apikey": key["id"]}


def ask(
    client: httpx.Client, method: str, path: str, operation: dict[str, Any], ids: dict[str, str]
) -> httpx.Response:
    room = path.strip("/").split("/")[0]
    filled = path
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            filled = filled.replace("{" + parameter["name"] + "}", ids[room])
    query = {
        each["name"]: "x" for each in operation.get("parameters", [])
        if each["in"] == "query" and each.get("required")
    }  # fmt: skip
    body = BODIES.get(operation["operationId"], {})
    return client.request(method, filled, params=query, json=body if method == "post" else None)


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
            if "{" in path
        }
        assert len(seen) >= 8
        assert seen == dict.fromkeys(seen, 404)
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
        }


def test_a_runs_key_has_its_owners_rights_but_administers_nothing(api: Platform):
    run_key = add_principal(api, role=ADMIN, run_id="run0")
    seen = _rights_of(run_key, api)
    assert seen["read"] == 200
    assert seen["default"] == 403
    assert seen["keys"] == 403
