"""API keys: made, listed, given another end, revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from landloom.server.accounts.rights import USER
from landloom.server.accounts.tables import SERVICE
from tests.api.platform import Platform
from tests.api.principals import Principal, add_principal

LATER = "2999-01-01T00:00:00Z"


def make(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    answer = client.post("/apikey", json={"name": "mine", "expiresAt": LATER, **changes})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def opens(api: Platform, key: str) -> bool:
    return httpx.get(f"{api.url}/users/me", headers={"X-API-Key": key}).status_code == 200


@pytest.fixture(scope="module")
def member(api: Platform) -> Principal:
    return add_principal(api, role=USER)


class TestCreate:
    def test_the_clear_key_is_shown_once_and_opens(self, api: Platform) -> None:
        made = make(api.client)
        assert opens(api, made["key"])
        assert made["preview"] == made["partialApiKey"]
        head, tail = made["preview"].split("...")
        assert made["key"].startswith(head)
        assert made["key"].endswith(tail)
        listed = api.client.get("/apikey")
        assert made["key"] not in listed.text
        (found,) = [key for key in listed.json() if key["id"] == made["id"]]
        assert "key" not in found
        assert (found["valid"], found["revoked"], found["name"]) == (True, False, "mine")
        assert found["expiresAt"].startswith("2999-01-01T00:00:00")
        assert found["createdById"] == api.admin.user_id
        assert found["ownedBy"]["id"] == api.admin.user_id

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": "x" * 51}, "name"),
            ({"name": ""}, "name"),
            ({"expiresAt": "soon"}, "expiresAt"),
            ({"expiresAt": "2001-01-01"}, "expiresAt"),
            ({"ownedById": "nobody"}, "ownedById"),
        ],
    )
    def test_bad_input_is_named(self, api: Platform, changes: dict[str, str], field: str) -> None:
        answer = api.client.post("/apikey", json={"name": "k", "expiresAt": LATER, **changes})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == field

    def test_an_admin_makes_keys_for_services(self, api: Platform) -> None:
        service = add_principal(api, role=USER, kind=SERVICE)
        made = make(api.client, ownedById=service.user_id)
        assert made["ownedBy"]["id"] == service.user_id
        assert made["createdById"] == api.admin.user_id
        me = httpx.get(f"{api.url}/users/me", headers={"X-API-Key": made["key"]}).json()
        assert me["id"] == service.user_id
        assert "email" not in me
        organization = api.client.get("/organization").json()
        assert service.user_id in [each["id"] for each in organization["services"]]
        assert service.user_id not in [each["id"] for each in organization["users"]]

    def test_a_member_makes_none_for_others(self, api: Platform, member: Principal) -> None:
        with member.client(api) as client:
            body = {"name": "k", "expiresAt": LATER, "ownedById": api.admin.user_id}
            assert client.post("/apikey", json=body).status_code == 403


class TestEnd:
    def test_a_key_past_its_end_opens_nothing(self, api: Platform) -> None:
        soon = datetime.now(UTC) + timedelta(minutes=10)
        made = make(api.client, expiresAt=soon.isoformat())
        assert opens(api, made["key"])
        answer = api.client.post(f"/apikey/{made['id']}", json={"expiresAt": "2001-01-01"})
        assert answer.status_code == 422
        answer = api.client.post(f"/apikey/{made['id']}", json={"expiresAt": LATER})
        assert answer.json()["expiresAt"].startswith("2999")

    def test_a_revoked_key_opens_nothing_and_gets_no_new_end(self, api: Platform) -> None:
        made = make(api.client)
        assert api.client.delete(f"/apikey/{made['id']}").status_code == 200
        assert not opens(api, made["key"])
        assert api.client.delete(f"/apikey/{made['id']}").status_code == 200
        answer = api.client.post(f"/apikey/{made['id']}", json={"expiresAt": LATER})
        assert answer.status_code == 409
        (found,) = [key for key in api.client.get("/apikey").json() if key["id"] == made["id"]]
        assert (found["valid"], found["revoked"]) == (False, True)

    def test_members_end_their_own_and_admins_any(self, api: Platform, member: Principal) -> None:
        admins = make(api.client)
        with member.client(api) as client:
            own = make(client)
            assert client.delete(f"/apikey/{admins['id']}").status_code == 404
            assert (
                client.post(f"/apikey/{admins['id']}", json={"expiresAt": LATER}).status_code == 404
            )
            assert opens(api, admins["key"])
            assert client.delete(f"/apikey/{own['id']}").status_code == 200
            other = make(client)
        assert api.client.delete(f"/apikey/{other['id']}").status_code == 200
        assert not opens(api, other["key"])


class TestList:
    def test_members_see_their_own(self, api: Platform, member: Principal) -> None:
        make(api.client)
        with member.client(api) as client:
            make(client)
            assert {key["ownedBy"]["id"] for key in client.get("/apikey").json()} == {
                member.user_id
            }
            assert client.get("/organization/apikeys").status_code == 403
            params = {"customerId": api.admin.user_id}
            assert client.get("/apikey", params=params).status_code == 403

    def test_admins_see_all_and_each(self, api: Platform, member: Principal) -> None:
        owners = {key["ownedBy"]["id"] for key in api.client.get("/organization/apikeys").json()}
        assert owners >= {member.user_id, api.admin.user_id}
        params = {"customerId": member.user_id}
        found = api.client.get("/apikey", params=params).json()
        assert {key["ownedBy"]["id"] for key in found} == {member.user_id}


class TestDefaults:
    def test_the_default_runtime_fills_runs_that_name_none(self, api: Platform) -> None:
        before = api.client.get("/organization").json()["defaultRuntime"]
        params = {"runtime_id": "SMALL"}
        assert api.client.put("/organization/default-runtime", params=params).status_code == 200
        assert api.client.get("/organization").json()["defaultRuntime"] == "small"
        uri = api.upload("plain.py", "print(1)")
        run = api.client.post("/runs", json={"name": "plain-run", "runPython": {"uri": uri}}).json()
        assert run["payload"]["runtime"] == "small"
        params = {"runtime_id": before}
        assert api.client.put("/organization/default-runtime", params=params).status_code == 200

    def test_what_is_not_on_offer_is_named(self, api: Platform) -> None:
        answer = api.client.put("/organization/default-runtime", params={"runtime_id": "huge"})
        assert answer.status_code == 422
        answer = api.client.put("/organization/default-region", params={"region": "mars"})
        assert answer.status_code == 422
        assert "mars" in answer.json()["errors"][0]["message"]
        region = api.client.get("/organization").json()["allowedRegions"][0]
        answer = api.client.put("/organization/default-region", params={"region": region})
        assert answer.status_code == 200
