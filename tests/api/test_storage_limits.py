"""What is stored is counted, bounded and, where it was temporary, deleted; on a real store."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from sqlalchemy import update

from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.storage.admin import Credentials
from landloom.server.storage.objects import S3Objects
from landloom.server.storage.quota.service import size
from landloom.server.storage.quota.tables import StorageUse
from landloom.server.storage.removal import Removal
from landloom.server.storage.scopes import Scope
from landloom.server.workflows import repository
from landloom.server.workflows.expiry import Expiry
from landloom.server.workflows.tables import Workflow
from tests.api.platform import Platform, eventually, platform
from tests.api.principals import add_principal
from tests.api.stores import RealStore
from tests.api.test_workflows import WORKER

QUOTA = 10_000
WORKFLOW = {
    "kind": "build_mosaics",
    "aoi": {"steps": 1},
    "datasets": ["S2"],
    "start": "2021-01-01",
    "end": "2022-01-01",
    "crs_epsg": 3857,
}


@pytest.fixture(scope="module")
def bounded(
    database: str, store: RealStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """A platform whose users may store little, and that measures often."""
    folder = tmp_path_factory.mktemp("bounded")
    limits = {"user_quota_bytes": QUOTA, "storage_look_seconds": 0.5}
    with platform(folder, store=store, workflow_argv=WORKER, **limits) as running:
        yield running


def usage(client: httpx.Client) -> dict[str, Any]:
    answer = client.get("/storage/usage")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def upload(client: httpx.Client, key: str, body: bytes) -> httpx.Response:
    """Upload as clients do; return the answer of the API, or of the store if the API agreed."""
    answer = client.post("/files/upload-url", params={"key": key})
    if answer.status_code != 200:
        return answer
    return httpx.put(answer.json()["uploadUrl"], content=body)


class TestQuota:
    def test_more_than_the_quota_is_refused_until_something_is_deleted(
        self, bounded: Platform
    ) -> None:
        folder = bounded.storage.user_path.removeprefix("s3://")
        tried = {"Idempotency-Key": "before"}
        before = bounded.client.post("/rasterflow/runs", json=WORKFLOW, headers=tried)
        assert before.status_code == 201
        assert upload(bounded.client, f"{folder}a/one.bin", b"x" * 8_000).status_code == 200
        assert upload(bounded.client, f"{folder}b/two.bin", b"x" * 3_000).status_code == 200
        eventually(lambda: usage(bounded.client)["bytes"], lambda found: found == 11_000, 120)
        asked = {"key": f"{folder}three.bin"}
        refused = eventually(
            lambda: bounded.client.post("/files/upload-url", params=asked),
            lambda answer: answer.status_code == 403,
            120,
        )
        (error,) = refused.json()["errors"]
        assert error["code"] == "INSUFFICIENT_QUOTA_ERROR"
        assert "11 KB" in error["message"]
        assert "10 KB" in error["message"]
        assert "storage rm" in error["suggestion"]
        lent = {"path": bounded.storage.user_path, "access_mode": "read_write"}
        for path, body in {"/storage/credentials": lent, "/rasterflow/runs": WORKFLOW}.items():
            answer = bounded.client.post(path, json=body)
            assert answer.status_code == 403, path
            assert answer.json()["errors"][0]["code"] == "INSUFFICIENT_QUOTA_ERROR"
        again = bounded.client.post("/rasterflow/runs", json=WORKFLOW, headers=tried)
        assert again.status_code == 201, "another try of the same"
        assert again.json()["id"] == before.json()["id"]
        reading = bounded.client.post("/storage/credentials", json={"path": lent["path"]})
        assert reading.status_code == 200, "reading costs nothing"
        assert bounded.client.request("DELETE", "/files", json=[f"{folder}a/"]).status_code == 200
        eventually(
            lambda: upload(bounded.client, f"{folder}three.bin", b"x").status_code,
            lambda status: status == 200,
            120,
        )

    def test_what_is_written_around_the_api_counts_too(
        self, bounded: Platform, store: RealStore
    ) -> None:
        somebody = add_principal(bounded, role="User")
        own = bounded.storage.private_prefix.replace(bounded.admin.user_id, somebody.user_id)
        store.put(bounded.settings.bucket, f"{own}raw.bin", b"x" * (QUOTA + 1))
        with somebody.client(bounded) as client:
            eventually(lambda: usage(client)["bytes"], lambda found: found == QUOTA + 1, 120)
            asked = {"key": f"landloom/{own}more.bin"}
            eventually(
                lambda: client.post("/files/upload-url", params=asked).status_code,
                lambda status: status == 403,
                120,
            )

    def test_one_user_s_files_do_not_bound_another(self, bounded: Platform) -> None:
        other = add_principal(bounded, role="User")
        own = bounded.storage.private_prefix.replace(bounded.admin.user_id, other.user_id)
        with other.client(bounded) as client:
            assert upload(client, f"landloom/{own}a.bin", b"x").status_code == 200


class TestUsage:
    def test_numbers_by_prefix_and_folder(self, bounded: Platform, store: RealStore) -> None:
        somebody = add_principal(bounded, role="User")
        own = bounded.storage.private_prefix.replace(bounded.admin.user_id, somebody.user_id)
        for name, count in {"big/a": 700, "big/b/c": 800, "small/a": 5, "top": 20}.items():
            store.put(bounded.settings.bucket, own + name, b"x" * count)
        store.put(bounded.settings.bucket, f"{bounded.storage.shared_prefix}all", b"x" * 9)
        with somebody.client(bounded) as client:

            def mine() -> dict[str, Any]:
                found = {each["path"]: each for each in usage(client)["prefixes"]}
                return found.get(f"s3://landloom/{own}", {"bytes": -1})

            found = eventually(mine, lambda each: each["bytes"] == 1525, 120)
            assert found["own"] is True
            assert found["objects"] == 4
            assert found["folders"] == [
                {"name": "big", "bytes": 1500, "objects": 2},
                {"name": "small", "bytes": 5, "objects": 1},
            ]
            whole = usage(client)
            assert whole["quotaBytes"] == QUOTA
            assert whole["organizationBytes"] >= 1525
            paths = {each["path"] for each in whole["prefixes"]}
            assert bounded.storage.shared_path in paths
            assert bounded.storage.user_path not in paths, "another's own is not shown"

    def test_shared_folders_are_measured_whoever_is_switched_off(
        self, bounded: Platform, store: RealStore
    ) -> None:
        leaver, other = add_principal(bounded, role="User"), add_principal(bounded, role="User")
        shared = bounded.storage.shared_prefix
        with other.client(bounded) as client:

            def found() -> list[dict[str, Any]]:
                return [each for each in usage(client)["prefixes"] if shared in each["path"]]

            eventually(found, bool, 120)
            asyncio.run(_hand_over(bounded, shared, leaver.user_id))
            path = f"/organization/users/{leaver.user_id}"
            assert bounded.client.post(path, json={"disabled": True}).is_success
            store.put(bounded.settings.bucket, f"{shared}left behind/a", b"x" * 77)
            assert upload(client, f"landloom/{shared}left behind/b", b"").status_code == 200

            def left_behind() -> list[int]:
                (use,) = found()
                return [each["bytes"] for each in use["folders"] if each["name"] == "left behind"]

            eventually(left_behind, lambda sizes: sizes == [77], 120)

    def test_another_organization_sees_its_own_alone(self, bounded: Platform) -> None:
        other = add_principal(bounded, role="Admin", organization_id="")
        with other.client(bounded) as client:
            for each in usage(client)["prefixes"]:
                assert each["path"].startswith(f"s3://landloom/{other.organization_id}/")

    @pytest.mark.parametrize(
        ("count", "text"),
        [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 KB"), (2 * 10**9, "2 GB")],
    )
    def test_sizes_read_well(self, count: int, text: str) -> None:
        assert size(count) == text


async def _hand_over(platform: Platform, prefix: str, user_id: str) -> None:
    """Let a prefix be one that this user made known."""
    database = Database(platform.settings.database)
    async with database.writing(None) as session:
        made_known = update(StorageUse).where(StorageUse.prefix == prefix)
        await session.execute(made_known.values(user_id=user_id))
    await database.close()


@dataclass
class Lender:
    """The store's administrator; notes what it lends."""

    store: RealStore
    lent: list[Credentials] = field(default_factory=list)

    @property
    def can_scope(self) -> bool:
        return self.store.can_scope

    async def ensure_bucket(self, name: str) -> None:
        await self.store.ensure_bucket(name)

    async def ensure_user(
        self, user_id: str, *, bucket: str, read_write: Sequence[str]
    ) -> Credentials:
        return await self.store.ensure_user(user_id, bucket=bucket, read_write=read_write)

    async def withdraw_user(self, user_id: str) -> None:
        await self.store.withdraw_user(user_id)

    async def lend(self, scope: Scope, *, seconds: int | None = None) -> Credentials:
        self.lent.append(await self.store.lend(scope, seconds=seconds))
        return self.lent[-1]


def ended(
    platform: Platform, *, days: float, bucket: str | None = None, result: dict[str, Any] | None
) -> Workflow:
    """Return the row of a workflow that ended so many days ago."""
    row_id = f"w{uuid.uuid4().hex[:13]}"
    at: datetime = now() - timedelta(days=days)
    return Workflow(
        id=row_id,
        created_at=at,
        updated_at=at,
        completed_at=at,
        organization_id=platform.admin.org_id,
        user_id=platform.admin.user_id,
        status="COMPLETED",
        kind="build_mosaics",
        request={},
        output_uri=f"{bucket}/{row_id}/" if bucket else platform.storage.workflow_path(row_id),
        temporary=bucket is None,
        message="Completed.",
        result=result,
    )


def test_temporary_outputs_go_and_nothing_else_does(stored: Platform, store: RealStore) -> None:
    """Old ones go; young ones, those somebody still uses and those of a named bucket stay."""
    shared = f"{stored.storage.shared_path}kept"
    old, young = ended(stored, days=7.1, result=None), ended(stored, days=6.9, result=None)
    named = ended(stored, days=30, bucket=shared, result=None)
    used = ended(stored, days=20, result=None)
    user = ended(stored, days=1, result={"index_uri": f"{used.output_uri}index.parquet"})
    rows = [old, young, named, used, user]
    uris = {row.id: row.output_uri for row in rows}
    keys = [
        uri.removeprefix("s3://landloom/") + name
        for uri in uris.values()
        for name in ("index.parquet", "mosaic/c/0/0", "_landloom/item.json")
    ]
    beside = f"{stored.storage.private_prefix}rasterflow/{old.id}x/notes.txt"
    client = store.client()
    for key in [*keys, beside]:
        client.put_object(Bucket="landloom", Key=key, Body=b"x")
    half = {"Bucket": "landloom", "Key": uris[old.id].removeprefix("s3://landloom/") + "half"}
    going_on = {"Bucket": "landloom", "Key": uris[young.id].removeprefix("s3://landloom/") + "half"}
    for each in (half, going_on):
        begun = client.create_multipart_upload(**each)["UploadId"]
        client.upload_part(**each, UploadId=begun, PartNumber=1, Body=b"x" * 100)
    lender = Lender(store)
    assert asyncio.run(_expire(stored, lender, rows)) == [1, 0]
    listed = client.list_objects_v2(Bucket="landloom", Prefix=stored.storage.root_prefix)
    left = {each["Key"] for each in listed["Contents"]}
    gone = {key for key in keys if f"/{old.id}/" in key}
    assert left & set(keys) == set(keys) - gone
    assert beside in left
    if store.lists_uploads:
        uploads = client.list_multipart_uploads(
            Bucket="landloom", Prefix=f"{stored.storage.private_prefix}rasterflow/"
        )
        assert [each["Key"] for each in uploads["Uploads"]] == [going_on["Key"]]
    if store.can_scope:
        _reaches_nothing_else(store, lender.lent[0], beside)
    shown = stored.client.get(f"/rasterflow/runs/{old.id}").json()
    assert shown["message"] == "Its temporary outputs were deleted after 7 days."


async def _expire(platform: Platform, lender: Lender, rows: Sequence[Workflow]) -> list[int]:
    settings = platform.settings
    database = Database(settings.database)
    async with database.writing(None) as session:
        session.add_all(rows)
    expiry = Expiry(settings, database, lender, Removal(S3Objects()))
    counts = [await expiry.delete_due(), await expiry.delete_due()]
    async with database.reading(None) as session:
        row = await repository.find(session, rows[0].id)
        assert row is not None
        assert row.outputs_removed_at is not None
    await database.close()
    return counts


def _reaches_nothing_else(store: RealStore, keys: Credentials, beside: str) -> None:
    """Try the very keys that deleted, on what lies beside."""
    client = store.client(keys)
    for attempt in (
        lambda: client.delete_object(Bucket="landloom", Key=beside),
        lambda: client.put_object(Bucket="landloom", Key=beside, Body=b"y"),
        lambda: client.get_object(Bucket="landloom", Key=beside),
        lambda: client.list_objects_v2(Bucket="landloom"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            attempt()
