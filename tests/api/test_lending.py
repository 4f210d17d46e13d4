"""Temporary keys over the API: who gets them for what. What they reach is tried on a real store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api.platform import Platform
from tests.api.test_people import as_user, new_user


def ask(client: httpx.Client, path: str, mode: str = "read") -> httpx.Response:
    return client.post("/storage/credentials", json={"path": path, "access_mode": mode})


@pytest.mark.parametrize("mode", ["read", "read_write"])
def test_keys_to_ones_own_folders_are_lent(api: Platform, mode: str) -> None:
    for path in (
        api.storage.user_path,
        api.storage.shared_path + "maps/",
        api.storage.user_path[:-1],
    ):
        answer = ask(api.client, path, mode)
        assert answer.status_code == 200, answer.text
        lent: dict[str, Any] = answer.json()
        assert all(lent[name] for name in ("accessKeyId", "secretAccessKey", "sessionToken"))
        assert lent["region"] == api.settings.s3_region
        left = datetime.fromisoformat(lent["expiration"]) - datetime.now(UTC)
        assert timedelta(0) < left <= timedelta(seconds=api.settings.lending_seconds)
        bucket, keys = api.store.rights[lent["accessKeyId"]]
        assert [f"s3://{bucket}/{key}" for key in keys] == [path]
        assert ("s3:PutObject" in lent["sessionToken"]) == (mode == "read_write")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("s3://{bucket}", 403),
        ("s3://{bucket}/", 403),
        ("s3://{bucket}/{org}/", 403),
        ("s3://{bucket}/{org}/data/", 403),
        ("s3://{bucket}/{org}/data/customer-", 403),
        ("s3://{bucket}/{org}/data/customer-{user}x/", 403),
        ("s3://{bucket}/{org}/data/customer-{user}/../", 422),
        ("s3://{bucket}/{org}/data/customer-{user}/*", 422),
        ("s3://{bucket}/another/data/shared/", 403),
        ("s3://elsewhere/x/", 400),
        ("https://elsewhere/x/", 422),
    ],
)
def test_what_is_not_ones_own_is_refused(api: Platform, path: str, status: int) -> None:
    named = {
        "bucket": api.settings.bucket,
        "org": api.admin.org_id,
        "user": api.admin.user_id,
    }
    answer = ask(api.client, path.format(**named))
    assert answer.status_code == status, answer.text
    if status == 400:
        assert "no storage source found" in answer.text


def test_an_administrator_gets_none_to_another_users_folder(api: Platform) -> None:
    eve = new_user(api, "lent-eve")
    theirs = f"s3://{api.settings.bucket}/{api.admin.org_id}/data/customer-{eve['id']}/"
    assert ask(api.client, theirs).status_code == 403
    with as_user(api, eve) as client:
        assert ask(client, theirs, "read_write").status_code == 200
        assert ask(client, api.storage.user_path).status_code == 403
        assert ask(client, api.storage.shared_path).status_code == 200


def test_a_store_that_cannot_scope_lends_nothing(api: Platform) -> None:
    api.store.can_scope = False
    try:
        answer = ask(api.client, api.storage.user_path)
    finally:
        api.store.can_scope = True
    assert answer.status_code == 409
    assert "temporary keys" in answer.text


def test_ingest_credentials_reach_ones_own_folder(api: Platform) -> None:
    answer = api.client.post("/files/ingest-credentials")
    assert answer.status_code == 200, answer.text
    assert api.store.rights[answer.json()["accessKeyId"]] == (
        api.settings.bucket,
        (api.storage.private_prefix,),
    )
