"""`/files/*` and `/storage/*` over a real store: uploads, changes, downloads, by whom and where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from landloom.server.accounts.rights import USER, Policy
from tests.api.filing import REGION, fetched, listed, names, own, problem, put
from tests.api.platform import Platform, platform
from tests.api.principals import add_principal
from tests.api.stores import RealStore


class TestUploads:
    def test_many_at_once(self, stored: Platform, folder: str) -> None:
        keys = [own(stored, f"{folder}/many/{n}.txt") for n in range(20)]
        answer = stored.client.post("/files/upload-urls", json=keys)
        assert [each["key"] for each in answer.json()] == keys
        with httpx.Client(trust_env=False) as store:
            for each in answer.json():
                assert store.put(each["uploadUrl"], content=each["key"]).status_code == 200
        assert len(listed(stored, f"{folder}/many")["items"]) == 20
        assert fetched(stored, f"{folder}/many/7.txt") == keys[7].encode()

    def test_only_into_what_one_may_write(self, stored: Platform) -> None:
        root = f"{stored.settings.bucket}/{stored.admin.org_id}"
        mine = f"customer-{stored.admin.user_id}"
        for prefix in (f"data/{mine}", "data/shared", f"notebooks/{mine}", "notebooks/shared",
                       "spark-logs"):  # fmt: skip
            answer = stored.client.post("/files/upload-url", params={"key": f"{root}/{prefix}/f"})
            sent = httpx.put(answer.json()["uploadUrl"], content=b"x", trust_env=False)
            assert sent.status_code == 200, prefix
            stored.client.request("DELETE", "/files", json=[f"{root}/{prefix}/f"])
        for key in ("f", "data/f", "notebooks/f", "data/customer-other/f", "other/f"):
            answer = stored.client.post("/files/upload-url", params={"key": f"{root}/{key}"})
            assert answer.status_code == 403, key
        elsewhere = f"{stored.settings.bucket}/other-organization/data/shared/f"
        answer = stored.client.post("/files/upload-url", params={"key": elsewhere})
        assert answer.status_code == 403
        answer = stored.client.post("/files/upload-url", params={"key": "nobodys-bucket/f"})
        assert answer.status_code == 400
        assert "no storage source found" in problem(answer)

    @pytest.mark.parametrize("prefix", ["private", "shared", "spark_logs"])
    def test_an_object_called_as_a_fixed_folder_lies_beside_it(
        self, stored: Platform, prefix: str
    ) -> None:
        folder: str = getattr(stored.storage, f"{prefix}_prefix")
        key = {"key": f"{stored.settings.bucket}/{folder.rstrip('/')}"}
        assert stored.client.post("/files/upload-url", params=key).status_code == 422
        assert stored.client.get("/files/download", params=key).status_code == 422

    def test_a_folder_is_no_file(self, stored: Platform, folder: str) -> None:
        answer = stored.client.post(f"/storage/{REGION}/file-upload-url/{folder}/")
        assert answer.status_code == 422
        assert stored.client.get(f"/storage/{REGION}/files/").status_code == 422


class TestChanges:
    def test_renaming_keeps_the_folder_and_the_bytes(self, stored: Platform, folder: str) -> None:
        put(stored, f"{folder}/old name.txt", b"bytes")
        put(stored, f"{folder}/taken.txt", b"other")
        url = f"/storage/{REGION}/file-rename/{folder}/old%20name.txt"
        assert stored.client.post(url, params={"new_name": "taken.txt"}).status_code == 409
        assert stored.client.post(url, params={"new_name": "a/b"}).status_code == 422
        assert stored.client.post(url, params={"new_name": ".."}).status_code == 422
        assert stored.client.post(url, params={"new_name": "neuer + Name.txt"}).status_code == 200
        assert names(listed(stored, folder)) == ["neuer + Name.txt", "taken.txt"]
        assert fetched(stored, f"{folder}/neuer + Name.txt") == b"bytes"
        key = own(stored, f"{folder}/taken.txt")
        answer = stored.client.post("/files/rename", params={"key": key, "new_name": "b.txt"})
        assert answer.status_code == 200
        assert fetched(stored, f"{folder}/b.txt") == b"other"
        answer = stored.client.post("/files/rename", params={"key": key, "new_name": "c d"})
        assert answer.status_code == 422

    def test_deleting_many_files_and_folders(self, stored: Platform, folder: str) -> None:
        for name in ("a", "b", "kept", "sub/c", "sub/d/e"):
            put(stored, f"{folder}/{name}")
        wanted = [own(stored, f"{folder}/{name}") for name in ("a", "b", "absent", "sub/")]
        protected = f"{stored.settings.bucket}/{stored.storage.shared_prefix}"
        answer = stored.client.request("DELETE", "/files", json=[*wanted, protected])
        assert answer.status_code == 403
        assert len(names(listed(stored, folder))) == 4
        assert stored.client.request("DELETE", "/files", json=wanted).status_code == 200
        assert names(listed(stored, folder)) == ["kept"]
        assert stored.client.request("DELETE", "/files", json=[]).status_code == 422

    def test_what_is_protected_stays(self, stored: Platform) -> None:
        assert stored.client.delete(f"/storage/{REGION}/directories/").status_code == 403
        root = f"{stored.settings.bucket}/{stored.admin.org_id}"
        for key in (f"{root}/", f"{root}/data/", f"{root}/spark-logs/", f"{root}/data/other"):
            assert stored.client.request("DELETE", "/files", json=[key]).status_code == 403
        answer = stored.client.post("/files/folder", params={"dir": root, "name": "n"})
        assert answer.status_code == 403

    def test_folders_by_bucket_and_key(self, stored: Platform, folder: str) -> None:
        where = {"dir": own(stored, folder), "name": "made here"}
        assert stored.client.post("/files/folder", params=where).status_code == 200
        assert stored.client.post("/files/folder", params=where).status_code == 409
        assert names(listed(stored, folder)) == ["made here"]
        answer = stored.client.post("/files/folder", params=where | {"name": "a/b"})
        assert answer.status_code == 422


@pytest.mark.usefixtures("database")
class TestAddresses:
    """The host of presigned URLs, where clients reach the store by several."""

    def test_is_the_one_by_which_the_client_came(self, store: RealStore, data_dir: Path) -> None:
        port = urlsplit(store.endpoint).port
        public = {"s3_public_endpoint": store.endpoint, "s3_public_names": ("localhost",)}
        with platform(data_dir, store=store, **public) as api:
            path = f"/storage/{REGION}/file-upload-url/by-name"
            for host, told in (("LocalHost:1", "localhost"), ("evil.example", "127.0.0.1")):
                asked = api.client.post(path, headers={"Host": host})
                url = asked.json()["uploadUrl"]
                assert urlsplit(url).netloc == f"{told}:{port}"
                assert httpx.put(url, content=b"x", trust_env=False).status_code == 200
            moved = api.client.get(
                f"/storage/{REGION}/files/by-name", headers={"Host": "localhost"}
            )
            location = moved.headers["location"]
            assert urlsplit(location).hostname == "localhost"
            assert httpx.get(location, trust_env=False).content == b"x"


class TestDownloads:
    def test_bytes_are_never_run_as_a_page(self, stored: Platform, folder: str) -> None:
        put(stored, f"{folder}/ü.html", b"<script>")
        key = own(stored, f"{folder}/ü.html")
        answer = stored.client.get("/files/download", params={"key": key})
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%BC.html"
        assert answer.headers["x-content-type-options"] == "nosniff"
        redirect = stored.client.get(f"/storage/{REGION}/files/{folder}/%C3%BC.html")
        got = httpx.get(redirect.headers["location"], trust_env=False)
        assert got.headers["content-disposition"].startswith("attachment")

    def test_large_files_come_whole(self, stored: Platform, folder: str) -> None:
        body = bytes(range(256)) * 20_000
        put(stored, f"{folder}/large", body)
        key = own(stored, f"{folder}/large")
        assert stored.client.get("/files/download", params={"key": key}).content == body
        assert fetched(stored, f"{folder}/large") == body


@pytest.fixture(scope="module")
def register(stored: Platform) -> Iterator[Callable[..., str]]:
    """Register a place of another bucket, which plays another store; returns its id."""
    asyncio.run(stored.store.ensure_bucket("partner"))
    credentials = asyncio.run(
        stored.store.ensure_user("partner", bucket="partner", read_write=["fields/"])
    )
    if credentials.session_token is not None:
        # An integration is registered with keys that last.
        credentials = stored.store.access.credentials
    made: list[str] = []

    def register(name: str, **fields: Any) -> str:
        body = {
            "name": name,
            "path": "s3://partner/fields",
            "region": stored.settings.s3_region,
            "endpointUrl": stored.settings.s3_endpoint,
            "addressingStyle": stored.settings.s3_addressing,
            "accessKeyId": credentials.access_key,
            "secretAccessKey": credentials.secret_key,
        }
        answer = stored.client.post("/storage", json=body | fields)
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["id"])
        return made[-1]

    yield register
    for each in made:
        stored.client.delete(f"/storage/{each}")


class TestIntegrations:
    def test_files_are_used_as_managed_ones_are(
        self, stored: Platform, register: Callable[..., str]
    ) -> None:
        client, home = stored.client, f"/storage/{register('partner')}"
        answer = client.post(f"{home}/file-upload-url/2024/a b.tif").json()
        assert answer["destination"] == "s3://partner/fields/2024/a b.tif"
        assert httpx.put(answer["uploadUrl"], content=b"x", trust_env=False).is_success
        assert names(client.get(f"{home}/directories/2024").json()) == ["a b.tif"]
        root = client.get(f"{home}/directories/").json()
        assert (root["mutate_protected"], root["upload_protected"]) == (True, False)
        moved = client.get(f"{home}/files/2024/a b.tif")
        assert httpx.get(moved.headers["location"], trust_env=False).content == b"x"
        for directory in ("/", "partner/fields", "2024/", "partner/fields/2024"):
            query = {"integration_id": home.rpartition("/")[2], "dir": directory}
            found = client.get("/files/integration-dir", params=query).json()
            deep = directory.rstrip("/").endswith("2024")
            assert found["path"] == f"partner/fields/{'2024/' if deep else ''}"
            (entry,) = found["files"]
            assert entry["path"] == f"partner/fields/2024/{'a b.tif' if deep else ''}"
        key = {"key": "partner/fields/2024/a b.tif"}
        assert client.get("/files/download", params=key).content == b"x"
        assert client.get("/files/dir", params={"dir": "partner/other"}).status_code == 400
        beside = client.post("/files/upload-url", params={"key": "partner/fields"})
        assert beside.status_code == 422, "the object lies beside what is registered"
        assert client.delete(f"{home}/directories/").status_code == 403
        assert client.delete(f"{home}/directories/2024").status_code == 200
        assert client.get(f"{home}/directories/2024").status_code == 404

    def test_a_whole_bucket_is_shown_from_its_root(
        self, stored: Platform, register: Callable[..., str]
    ) -> None:
        asyncio.run(stored.store.ensure_bucket("whole"))
        stored.store.put("whole", "a/b.txt", b"x")
        admin = stored.store.access.credentials
        keys = {"accessKeyId": admin.access_key, "secretAccessKey": admin.secret_key}
        place = register("whole", path="s3://whole", **keys)
        for directory in ("/", "whole", "whole/", "s3://whole"):
            query = {"integration_id": place, "dir": directory}
            found = stored.client.get("/files/integration-dir", params=query).json()
            assert [each["path"] for each in found["files"]] == ["whole/a/"], directory

    def test_one_to_read_takes_nothing(
        self, stored: Platform, register: Callable[..., str]
    ) -> None:
        home = f"/storage/{register('to read', accessType='READ', path='s3://partner/fields/r')}"
        assert stored.client.get(f"{home}/directories/").json()["upload_protected"] is True
        for method, route in (
            ("POST", "file-upload-url/f"),
            ("PUT", "directories/d"),
            ("DELETE", "files/f"),
            ("DELETE", "directories/d"),
            ("POST", "file-rename/f?new_name=g"),
        ):
            answer = stored.client.request(method, f"{home}/{route}")
            assert answer.status_code == 403, route
            assert "read-only" in answer.json()["errors"][0]["suggestion"]


class TestOthers:
    def test_see_the_shared_folder_and_not_mine(self, stored: Platform, folder: str) -> None:
        put(stored, f"{folder}/secret")
        shared = f"{stored.settings.bucket}/{stored.storage.shared_prefix}common.txt"
        url = stored.client.post("/files/upload-url", params={"key": shared}).json()["uploadUrl"]
        assert httpx.put(url, content=b"ours", trust_env=False).status_code == 200
        colleague = add_principal(stored, role=USER)
        with colleague.client(stored) as client:
            assert client.get("/files/download", params={"key": shared}).content == b"ours"
            assert client.get(f"/storage/{REGION}/directories/{folder}").status_code == 404
            for key in (own(stored, f"{folder}/secret"), own(stored, folder)):
                for path in ("/files/download", "/files/dir"):
                    query = {"key": key, "dir": key}
                    assert client.get(path, params=query).status_code == 403
                assert client.request("DELETE", "/files", json=[key]).status_code == 403
        stranger = add_principal(stored, role=USER, organization_id="")
        with stranger.client(stored) as client:
            for key in (shared, own(stored, f"{folder}/secret")):
                assert client.get("/files/download", params={"key": key}).status_code == 403
                assert client.get("/files/dir", params={"dir": key}).status_code == 403
            (source,) = client.get("/storage").json()
            assert source["path"].startswith(
                f"s3://{stored.settings.bucket}/{stranger.organization_id}/"
            )
        assert fetched(stored, f"{folder}/secret") == b"x"

    @pytest.mark.parametrize("whole_organization", [False, True])
    def test_who_is_switched_off_keeps_no_way_to_the_store(
        self, stored: Platform, *, whole_organization: bool
    ) -> None:
        leaver = add_principal(
            stored, role=USER, organization_id="" if whole_organization else None
        )
        if whole_organization:
            path = f"/organizations/{leaver.organization_id}"
            off, on = {"state": "SUSPENDED"}, {"state": "ACTIVE"}
        else:
            path = f"/organization/users/{leaver.user_id}"
            off, on = {"disabled": True}, {"disabled": False}
        with leaver.client(stored) as client:
            asked = client.post(f"/storage/{REGION}/file-upload-url/kept").json()
            url = asked["uploadUrl"]
            assert httpx.put(url, content=b"1", trust_env=False).status_code == 200
            assert stored.client.post(path, json=off).is_success
            # Keys of a session, of which a foreign store makes those of users, go on to their end.
            after = 403 if stored.store.takes_rights_back else 200
            assert httpx.put(url, content=b"2", trust_env=False).status_code == after
            assert client.get("/storage").status_code == 403
            assert stored.client.post(path, json=on).is_success
            assert client.get(f"/storage/{REGION}/files/kept").status_code == 302
            if not whole_organization:
                assert stored.client.delete(path).is_success
                assert httpx.put(url, content=b"2", trust_env=False).status_code == after

    def test_the_right_to_read_is_no_right_to_write(self, stored: Platform) -> None:
        reader = add_principal(stored, policies=[Policy("files:read", "*", "ALLOW")])
        with reader.client(stored) as client:
            assert client.get(f"/storage/{REGION}/directories/").status_code == 200
            assert client.post(f"/storage/{REGION}/file-upload-url/f").status_code == 403
            assert client.put(f"/storage/{REGION}/directories/f").status_code == 403
            assert client.request("DELETE", "/files", json=["b/k"]).status_code == 403
