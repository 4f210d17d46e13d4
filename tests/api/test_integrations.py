"""`/storage` integrations: registered, shown without their secrets, removed; who may do what."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from landloom.server.accounts.rights import USER
from tests.api.platform import Platform
from tests.api.principals import add_principal

SECRET = "wJalrXUtnFEMI/K7MDENG+secret"
KEYS = {"accessKeyId": "AKIAEXAMPLE", "secretAccessKey": SECRET}


def register(client: httpx.Client, name: str, **fields: Any) -> httpx.Response:
    body = {
        "name": name,
        "path": "s3://partner/fields",
        "endpointUrl": "http://127.0.0.1:9",
        **fields,
    }
    return client.post("/storage", json=body)


def made(client: httpx.Client, name: str, **fields: Any) -> dict[str, Any]:
    answer = register(client, name, **fields)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


class TestRegistered:
    def test_it_is_shown_without_its_secret(self, api: Platform) -> None:
        integration = made(api.client, "Our partner", **KEYS, region="eu-1")
        assert integration["path"] == "s3://partner/fields/"
        assert integration["type"] == "INTEGRATION"
        assert integration["region"] == "eu-1"
        assert integration["profile"] == "Our-partner"
        assert integration["addressingStyle"] == "path"
        assert integration["readOnly"] is False
        assert integration["signed"] is True
        shown = api.client.get(f"/storage/{integration['id']}")
        assert shown.json() == integration
        assert SECRET not in shown.text

    def test_the_database_holds_no_secret(self, api: Platform) -> None:
        made(api.client, "sealed", **KEYS)
        stored = api.stored()
        assert "AKIAEXAMPLE" in stored
        assert SECRET not in stored
        assert (api.settings.data_dir / "secret-key").read_text().strip() not in stored

    def test_aws_is_the_default_and_a_role_needs_keys(self, api: Platform) -> None:
        body = {"name": "at aws", "path": "s3://somewhere-else", **KEYS, "region": "eu-west-1"}
        answer = api.client.post("/storage", json=body)
        assert answer.status_code == 201, answer.text
        assert answer.json()["endpointUrl"] == "https://s3.eu-west-1.amazonaws.com"
        assert answer.json()["addressingStyle"] == "virtual"
        assert answer.json()["path"] == "s3://somewhere-else/"
        role = "arn:aws:iam::123456789012:role/landloom"
        refused = register(api.client, "role", roleArn=role)
        assert refused.status_code == 422
        assert "accessKeyId" in refused.json()["errors"][0]["suggestion"]
        registered = made(api.client, "role", roleArn=role, **KEYS)
        assert registered["roleArn"] == role

    def test_its_access_type_is_kept(self, api: Platform) -> None:
        assert made(api.client, "to read", accessType="READ")["readOnly"] is True

    def test_a_removed_one_is_gone_and_its_name_free(self, api: Platform) -> None:
        gone = made(api.client, "short-lived")["id"]
        assert api.client.delete(f"/storage/{gone}").status_code == 200
        assert api.client.get(f"/storage/{gone}").status_code == 404
        assert api.client.delete(f"/storage/{gone}").status_code == 404
        made(api.client, "short-lived")

    def test_the_organization_lists_it(self, api: Platform) -> None:
        integration = made(api.client, "listed")
        details = api.client.get("/organization").json()["storageIntegrations"]
        mine = next(each for each in details if each["id"] == integration["id"])
        assert mine["name"] == "listed"
        assert mine["path"] == "s3://partner/fields/"


class TestRefused:
    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"name": "123"}, "name"),
            ({"name": "a\nb"}, "name"),
            ({"name": "default"}, "name"),
            ({"path": "s3://ab/c"}, "path"),
            ({"path": "gs://bucket/c"}, "path"),
            ({"path": "s3://bucket/a/../b"}, "path"),
            ({"path": "s3://landloom/other"}, "path"),
            ({"endpointUrl": "ftp://host"}, "endpointUrl"),
            ({"endpointUrl": "http://host/bucket"}, "endpointUrl"),
            ({"endpointUrl": "http://169.254.169.254"}, "endpointUrl"),
            ({"endpointUrl": "http://2852039166"}, "endpointUrl"),
            ({"endpointUrl": "http://[::ffff:169.254.169.254]"}, "endpointUrl"),
            ({"endpointUrl": "http://[fd00:ec2::254]"}, "endpointUrl"),
            ({"endpointUrl": "http://host:99999"}, "endpointUrl"),
            ({"endpointUrl": "http://host with space"}, "endpointUrl"),
            ({"endpointUrl": "https://elsewhere.example\\.amazonaws.com"}, "endpointUrl"),
            ({"endpointUrl": "https://user@host"}, "endpointUrl"),
            ({"region": "elsewhere.example/#"}, "region"),
            ({"roleArn": "arn:aws:s3:::bucket"}, "roleArn"),
            ({"trustedAccountIds": ["12"]}, "trustedAccountIds.0"),
        ],
    )
    def test_what_cannot_be_is_told_by_field(
        self, api: Platform, fields: dict[str, Any], field: str
    ) -> None:
        answer = register(api.client, **{"name": "wrong", **fields})
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["field"] == field

    def test_half_a_pair_of_keys(self, api: Platform) -> None:
        answer = register(api.client, "half", secretAccessKey=SECRET)
        assert answer.status_code == 422
        assert SECRET not in answer.text

    @pytest.mark.parametrize("name", ["twice", "tw/ice"])
    def test_a_name_or_its_profile_that_is_taken(self, api: Platform, name: str) -> None:
        register(api.client, "twice")
        register(api.client, "tw-ice")
        again = register(api.client, name)
        assert again.status_code == 409
        assert name in again.json()["errors"][0]["message"]

    def test_members_use_and_only_administrators_register(self, api: Platform) -> None:
        integration = made(api.client, "for members")
        with add_principal(api, role=USER).client(api) as member:
            assert register(member, "mine").status_code == 403
            assert member.get(f"/storage/{integration['id']}").status_code == 200
            assert member.delete(f"/storage/{integration['id']}").status_code == 403

    def test_a_runs_own_key_registers_none(self, api: Platform) -> None:
        run = api.submit("print(1)")["id"]
        key = add_principal(api, role="Admin", run_id=run)
        with key.client(api) as job:
            assert register(job, "left behind").status_code == 403

    def test_other_organizations_see_nothing(self, api: Platform) -> None:
        integration = made(api.client, "ours alone", **KEYS)
        with add_principal(api, role="Admin", organization_id="").client(api) as other:
            for method, path in [
                ("GET", ""),
                ("DELETE", ""),
                ("POST", "/access"),
                ("POST", "/abacaccess"),
                ("GET", "/sample-policy"),
            ]:
                answer = other.request(method, f"/storage/{integration['id']}{path}")
                assert answer.status_code == 404, (method, path)
            assert made(other, "ours alone")["id"] != integration["id"]


class TestDocuments:
    def test_the_sample_policy_reaches_the_prefix_alone(self, api: Platform) -> None:
        whole = made(api.client, "policy", path="s3://partner/a")["id"]
        policy = api.client.get(f"/storage/{whole}/sample-policy").json()
        listing, _, objects = policy["Statement"]
        assert listing["Condition"]["StringLike"]["s3:prefix"] == ["a", "a/*"]
        assert objects["Resource"] == "arn:aws:s3:::partner/a/*"
        assert "s3:PutObject" in objects["Action"]

    def test_that_of_a_read_only_one_writes_nothing(self, api: Platform) -> None:
        read = made(api.client, "policy to read", path="s3://partner", accessType="READ")["id"]
        policy = json.dumps(api.client.get(f"/storage/{read}/sample-policy").json())
        assert "arn:aws:s3:::partner/*" in policy
        assert "Put" not in policy
        assert "Delete" not in policy

    def test_the_trust_relationship_names_accounts_and_the_organization(
        self, api: Platform
    ) -> None:
        asked = {"trustedAccountIds": ["123456789012", "210987654321"]}
        trust = api.client.get("/storage/trust-relationship", params=asked).json()
        (statement,) = trust["Statement"]
        assert statement["Principal"]["AWS"] == [
            "arn:aws:iam::123456789012:root",
            "arn:aws:iam::210987654321:root",
        ]
        condition = statement["Condition"]["StringEquals"]
        assert condition == {"sts:ExternalId": api.admin.org_id}
        nobody = api.client.get("/storage/trust-relationship")
        assert nobody.status_code == 400
        assert "trustedAccountIds" in nobody.json()["errors"][0]["suggestion"]
        accounts = ["345678901234", "123456789012"]
        kept = made(api.client, "trusting", trustedAccountIds=accounts)
        assert kept["trustedAccountIds"] == accounts
        trust = api.client.get("/storage/trust-relationship").json()
        assert trust["Statement"][0]["Principal"]["AWS"] == [
            f"arn:aws:iam::{account}:root" for account in accounts
        ]


class TestOutOfReach:
    def test_a_store_that_is_away_lets_nothing_be_done(self, api: Platform) -> None:
        away = made(api.client, "away", **KEYS)["id"]
        found = api.client.post(f"/storage/{away}/access").json()
        rights = [found[f"{each}Access"] for each in ("list", "get", "put", "delete")]
        assert rights == [False] * 4
        assert len(found["problems"]) == 4

    def test_tags_need_a_role(self, api: Platform) -> None:
        plain = made(api.client, "without a role", **KEYS)["id"]
        found = api.client.post(f"/storage/{plain}/abacaccess").json()
        assert found["listAccess"] is False
        assert "role" in found["problems"][0]

    @pytest.mark.parametrize("path", ["partner/x", "s3://", "s3://a/b"])
    def test_an_access_type_needs_a_place(self, api: Platform, path: str) -> None:
        answer = api.client.get("/storage/s3-access-type", params={"s3_path": path})
        assert answer.status_code == 400

    def test_managed_storage_is_private(self, api: Platform) -> None:
        path = api.storage.user_path
        answer = api.client.get("/storage/s3-access-type", params={"s3_path": path})
        assert answer.json() == {"accessType": "private"}
