"""Principals, roles and organizations over the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.platform import Platform, eventually, platform

FAR = "2999-01-01T00:00:00Z"


def new_user(api: Platform, name: str, **fields: Any) -> dict[str, Any]:
    body = {"name": name, "email": f"{name}@example.org", **fields}
    answer = api.client.post("/organization/users", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def as_user(api: Platform, user: dict[str, Any]) -> httpx.Client:
    body = {"name": "k", "expiresAt": FAR, "ownedById": user["id"]}
    key = api.client.post("/apikey", json=body).json()["key"]
    return httpx.Client(base_url=api.url, headers={"X-API-Key": key}, timeout=20)


class TestPrincipals:
    def test_a_new_user_is_listed_and_has_the_rights_of_the_user_role(self, api: Platform) -> None:
        ada = new_user(api, "ada")
        assert ada["kind"] == "HUMAN"
        assert [role["name"] for role in ada["roles"]] == ["User"]
        assert ada["id"] in [user["id"] for user in api.client.get("/organization/users").json()]
        with as_user(api, ada) as client:
            assert client.get("/users/me").json()["email"] == "ada@example.org"
            assert client.get("/runs").status_code == 200
            assert client.get("/organization/apikeys").status_code == 403
            assert client.post("/organization/users", json={"name": "x"}).status_code == 403

    def test_a_service_has_no_address_and_calls_itself_by_name(self, api: Platform) -> None:
        robot = new_user(api, "robot", email=None, kind="SERVICE")
        with as_user(api, robot) as client:
            me = client.get("/users/me").json()
        assert me["name"] == "robot"
        assert "email" not in me
        services = api.client.get("/organization").json()["services"]
        assert robot["id"] in [each["id"] for each in services]

    @pytest.mark.parametrize(
        "body",
        [
            {"name": "x", "kind": "SERVICE", "email": "x@y.z"},
            {"name": "x"},
            {"name": "x", "email": "x@y.z", "roles": ["absent"]},
            {"name": "x\0", "email": "x@y.z"},
            {"name": "", "email": "x@y.z"},
        ],
        ids=str,
    )
    def test_what_cannot_be_a_principal_is_refused(
        self, api: Platform, body: dict[str, Any]
    ) -> None:
        answer = api.client.post("/organization/users", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] in {"email", "name", "roles"}

    def test_an_address_belongs_to_one_principal(self, api: Platform) -> None:
        new_user(api, "twin")
        body = {"name": "other", "email": "TWIN@example.org"}
        assert api.client.post("/organization/users", json=body).status_code == 409

    def test_roles_are_taken_and_given(self, api: Platform) -> None:
        bob = new_user(api, "bob")
        path = f"/organization/users/{bob['id']}"
        with as_user(api, bob) as client:
            assert client.get("/organization/apikeys").status_code == 403
            changed = api.client.post(path, json={"roles": ["Admin"]}).json()
            assert [role["name"] for role in changed["roles"]] == ["Admin"]
            assert client.get("/organization/apikeys").status_code == 200
            api.client.post(path, json={"roles": []})
            assert client.get("/runs").status_code == 403

    def test_who_is_switched_off_is_told_so_until_switched_on(self, api: Platform) -> None:
        eve = new_user(api, "eve")
        path = f"/organization/users/{eve['id']}"
        with as_user(api, eve) as client:
            assert api.client.post(path, json={"disabled": True}).json()["disabledAt"]
            refused = client.get("/runs")
            assert refused.status_code == 403
            assert refused.json()["errors"][0]["code"] == "ACCOUNT_NOT_PROVISIONED"
            body = {"name": "k", "expiresAt": FAR, "ownedById": eve["id"]}
            assert api.client.post("/apikey", json=body).status_code == 403
            api.client.post(path, json={"disabled": False})
            assert client.get("/runs").status_code == 200

    def test_a_run_that_waits_fails_when_its_owner_is_switched_off(self, api: Platform) -> None:
        pat = new_user(api, "pat")
        blocker = api.submit("import time; time.sleep(60)", runtime="4x-large")
        eventually(lambda: api.run(blocker["id"])["status"], lambda seen: seen == "RUNNING")
        with as_user(api, pat) as client:
            script = api.store.root / api.settings.bucket / api.admin.org_id / "data/shared/p.py"
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text("print('started')")
            uri = f"s3://{api.settings.bucket}/{api.admin.org_id}/data/shared/p.py"
            body = {"name": "pats-run", "runPython": {"uri": uri}}
            run = client.post("/runs", json=body).json()
        api.client.post(f"/organization/users/{pat['id']}", json={"disabled": True})
        api.client.post(f"/runs/{blocker['id']}/cancel")
        assert api.finished(run["id"])["status"] == "FAILED"
        assert "RUN_FAIL_PREPARE" in api.codes(run["id"])
        assert "switched off" in "\n".join(api.lines(run["id"]))

    def test_who_is_removed_opens_nothing_and_stays_on_the_runs(self, api: Platform) -> None:
        zoe = new_user(api, "zoe")
        path = f"/organization/users/{zoe['id']}"
        with as_user(api, zoe) as client:
            source = {"uri": f"s3://{api.settings.bucket}/{api.admin.org_id}/data/shared/x.py"}
            run = client.post("/runs", json={"name": "zoes-run", "runPython": source}).json()
            assert api.client.delete(path).status_code == 200
            assert client.get("/runs").status_code == 401
        assert api.client.delete(path).status_code == 404
        assert zoe["id"] not in [
            user["id"] for user in api.client.get("/organization/users").json()
        ]
        assert api.run(run["id"])["triggeredBy"]["email"] == "zoe@example.org"
        new_user(api, "zoe")

    @pytest.mark.parametrize("change", [{"disabled": True}, {"roles": ["User"]}, None], ids=str)
    def test_the_first_administrator_stays(self, api: Platform, change: Any) -> None:
        path = f"/organization/users/{api.admin.user_id}"
        answer = api.client.post(path, json=change) if change else api.client.delete(path)
        assert answer.status_code == 409
        assert api.client.get("/organization/apikeys").status_code == 200


class TestRoles:
    def test_a_role_of_ones_own_allows_what_it_says(self, api: Platform) -> None:
        policies = [
            {"action": "runs:read", "locator": "runs*"},
            {"action": "runs:read", "locator": "runs/*/logs", "effect": "DENY"},
        ]
        made = api.client.put("/organization/roles/Watcher", json={"policies": policies})
        assert made.status_code == 200
        run = api.submit("print('hello')")
        watcher = new_user(api, "watcher", roles=["Watcher"])
        with as_user(api, watcher) as client:
            assert client.get(f"/runs/{run['id']}").status_code == 200
            assert client.get(f"/runs/{run['id']}/logs").status_code == 403
            assert client.post(f"/runs/{run['id']}/cancel").status_code == 403
            assert api.client.delete("/organization/roles/Watcher").status_code == 200
            assert client.get(f"/runs/{run['id']}").status_code == 403

    def test_the_built_in_ones_are_left_alone(self, api: Platform) -> None:
        assert api.client.put("/organization/roles/Admin", json={"policies": []}).status_code == 409
        assert api.client.delete("/organization/roles/User").status_code == 409
        assert api.client.delete("/organization/roles/absent").status_code == 404


class TestOrganizations:
    def test_a_new_one_has_an_administrator_of_its_own_until_it_is_closed(
        self, api: Platform
    ) -> None:
        body = {"name": "farm", "adminName": "Fay", "adminEmail": "f@farm.org", "expiresAt": FAR}
        made = api.client.post("/organizations", json=body).json()
        path = f"/organizations/{made['id']}"
        assert made["state"] == "ACTIVE"
        assert not made["operates"]
        headers = {"X-API-Key": made["key"]}
        with httpx.Client(base_url=api.url, headers=headers) as client:
            assert client.get("/organization").json()["name"] == "farm"
            assert client.get("/runs").json()["total"] == 0
            assert client.get("/organization/apikeys").status_code == 200
            assert api.client.post(path, json={"state": "SUSPENDED"}).status_code == 200
            assert client.get("/runs").status_code == 403
            assert api.client.post(path, json={"state": "ACTIVE"}).status_code == 200
            assert client.get("/runs").status_code == 200
            assert api.client.delete(path).json()["state"] == "CLOSED"
            assert client.get("/runs").status_code == 403
            assert api.client.post(path, json={"state": "ACTIVE"}).status_code == 409
        listed = {each["id"]: each for each in api.client.get("/organizations").json()}
        assert listed[made["id"]]["userCount"] == 1
        assert listed[api.admin.org_id]["operates"]

    def test_the_platforms_own_stays_open(self, api: Platform) -> None:
        assert api.client.delete(f"/organizations/{api.admin.org_id}").status_code == 409


def test_a_second_principal_is_refused_where_users_are_not_isolated(tmp_path: Path) -> None:
    with platform(tmp_path, trust_users=False) as alone:
        user = alone.client.post(
            "/organization/users", json={"name": "b", "email": "b@example.org"}
        )
        body = {"name": "o", "adminName": "c", "adminEmail": "c@example.org", "expiresAt": FAR}
        organization = alone.client.post("/organizations", json=body)
        for answer in (user, organization):
            assert answer.status_code == 403, answer.text
            assert "LANDLOOM_TRUST_USERS" in answer.text
        assert len(alone.client.get("/organization/users").json()) == 1
