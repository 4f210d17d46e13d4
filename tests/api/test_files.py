"""`/files/*` and `/storage/*` over a real store: folders, pages, flags, names, uploads."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from landloom.server.accounts.rights import USER, Policy
from tests.api.platform import Platform
from tests.api.principals import add_principal

REGION = "user_files::aws-us-west-2"
NAMES = [
    "plain.txt",
    "with space.txt",
    "plus+plus.txt",
    "per%cent.txt",
    "per%20cent.txt",
    "ünïcødé-日本語-🌍.txt",
    "quote'\"<>&.txt",
    "semi;colon,=&?#.txt",
    "~tilde*!().txt",
    "p",
    "p/q",
    ".hidden/..dots../...",
    "a" * 255,
    "/".join(["x" * 250] * 3 + ["y" * 180]),
]
REFUSED = [
    "a//b",
    "a/./b",
    "a/../b",
    "../a",
    "..",
    "back\\slash",
    "new\nline",
    "a" * 256,
    "x/" * 600,
]


@pytest.fixture
def folder(stored: Platform) -> Iterator[str]:
    """A folder of a test's own, as a path in My files."""
    name = f"test-{next(_numbers)}"
    assert stored.client.put(f"/storage/{REGION}/directories/{name}").status_code == 200
    yield name
    stored.client.delete(f"/storage/{REGION}/directories/{name}")


_numbers = itertools.count()


def put(api: Platform, path: str, body: bytes = b"x") -> str:
    """Upload by a presigned URL, as clients do: no header but the length."""
    answer = api.client.post(f"/storage/{REGION}/file-upload-url/{quote(path)}")
    assert answer.status_code == 200, answer.text
    sent = httpx.put(answer.json()["uploadUrl"], content=body, trust_env=False)
    assert sent.status_code == 200, sent.text
    return answer.json()["destination"]


def listed(api: Platform, path: str, **query: Any) -> dict[str, Any]:
    answer = api.client.get(f"/storage/{REGION}/directories/{quote(path)}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(page: dict[str, Any]) -> list[str]:
    return [item["name"] for item in page["items"]]


def fetched(api: Platform, path: str) -> bytes:
    answer = api.client.get(f"/storage/{REGION}/files/{quote(path)}")
    assert answer.status_code == 302, answer.text
    got = httpx.get(answer.headers["location"], trust_env=False)
    assert got.status_code == 200, got.text
    return got.content


def own(api: Platform, path: str = "") -> str:
    """Return a path of My files as `bucket/key`."""
    return f"{api.settings.bucket}/{api.storage.private_prefix}{path}"


def problem(answer: httpx.Response) -> str:
    return answer.json()["errors"][0]["details"]


class TestSources:
    def test_the_managed_storage_is_the_callers_own_folder(self, stored: Platform) -> None:
        (source,) = stored.client.get("/storage").json()
        assert source["path"] == stored.storage.user_path
        assert source["id"] == REGION
        assert (source["type"], source["readOnly"]) == ("MANAGED", False)

    @pytest.mark.parametrize("spelling", [REGION, quote(REGION, safe=""), "user_files::elsewhere"])
    def test_is_found_however_it_is_spelt(self, stored: Platform, spelling: str) -> None:
        answer = stored.client.get(f"/storage/{spelling}/directories/")
        assert answer.status_code == 200
        assert (answer.json()["path"], answer.json()["name"]) == ("", "")
        assert answer.json()["mutate_protected"] is True
        assert answer.json()["upload_protected"] is False

    def test_an_unknown_storage_is_not_found(self, stored: Platform) -> None:
        assert stored.client.get("/storage/absent/directories/").status_code == 404


class TestFolders:
    def test_a_folder_is_made_once(self, stored: Platform, folder: str) -> None:
        url = f"/storage/{REGION}/directories/{folder}"
        assert stored.client.put(url).status_code == 409
        assert stored.client.put(f"{url}/").status_code == 409
        assert stored.client.put(f"/storage/{REGION}/directories/").status_code == 409
        page = listed(stored, folder)
        assert (page["items"], page["path"], page["name"]) == ([], f"{folder}/", folder)

    def test_a_files_name_is_taken(self, stored: Platform, folder: str) -> None:
        put(stored, f"{folder}/taken")
        assert stored.client.put(f"/storage/{REGION}/directories/{folder}/taken").status_code == 409

    def test_what_is_not_there_is_not_found(self, stored: Platform, folder: str) -> None:
        client, absent = stored.client, f"{folder}/absent"
        assert client.get(f"/storage/{REGION}/directories/{absent}").status_code == 404
        assert client.delete(f"/storage/{REGION}/directories/{absent}").status_code == 404
        assert client.get(f"/storage/{REGION}/files/{absent}").status_code == 404
        assert client.delete(f"/storage/{REGION}/files/{absent}").status_code == 404
        rename = f"/storage/{REGION}/file-rename/{absent}"
        assert client.post(rename, params={"new_name": "n"}).status_code == 404
        assert client.get("/files/download", params={"key": own(stored, absent)}).status_code == 404

    def test_deleting_takes_all_that_is_in_it_and_nothing_beside(
        self, stored: Platform, folder: str
    ) -> None:
        kept = [f"{folder}/tree", f"{folder}/trees/kept"]
        for path in [*kept, *(f"{folder}/tree/{n % 3}/{n}" for n in range(9))]:
            put(stored, path)
        stored.client.put(f"/storage/{REGION}/directories/{folder}/tree/empty")
        url = f"/storage/{REGION}/directories/{folder}/tree"
        assert stored.client.delete(url).status_code == 200
        assert stored.client.get(url).status_code == 404
        assert sorted(names(listed(stored, folder))) == ["tree", "trees"]
        assert [fetched(stored, path) for path in kept] == [b"x", b"x"]

    def test_the_fixed_folders_show_what_the_caller_reaches(self, stored: Platform) -> None:
        bucket, organization = stored.settings.bucket, stored.admin.org_id

        def directory(key: str) -> dict[str, Any]:
            answer = stored.client.get("/files/dir", params={"dir": key})
            assert answer.status_code == 200, answer.text
            return answer.json()

        root = directory(bucket)
        assert root == directory(f"s3://{bucket}/{organization}/")
        assert [each["name"] for each in root["files"]] == ["data", "notebooks", "spark-logs"]
        assert root["path"] == f"{bucket}/{organization}/"
        assert (root["mutateProtected"], root["uploadProtected"]) == (True, True)
        data = directory(root["files"][0]["path"])
        assert {each["name"] for each in data["files"]} == {
            f"customer-{stored.admin.user_id}",
            "shared",
        }
        assert all(each["protected"] for each in data["files"])
        mine = directory(own(stored).rstrip("/"))
        assert mine["path"] == own(stored)
        assert (mine["mutateProtected"], mine["uploadProtected"]) == (True, False)
        logs = directory(f"{bucket}/{organization}/spark-logs")
        assert (logs["files"], logs["uploadProtected"]) == ([], False)


class TestPages:
    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
    def test_pages_hold_every_entry_once(self, stored: Platform, folder: str, limit: int) -> None:
        made = [f"{n:02}.txt" for n in range(8)] + [f"sub{n}/f" for n in range(3)] + ["p", "p/q"]
        for name in made:
            put(stored, f"{folder}/{name}")
        seen: list[tuple[str, str]] = []
        cursors: list[str] = []
        cursor = None
        while True:
            query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
            page = listed(stored, folder, **query)
            assert len(page["items"]) <= limit
            assert page["current_page"] == cursor
            seen += [(item["name"], item["type"]) for item in page["items"]]
            cursor = page["next_page"]
            if cursor is None:
                break
            assert cursor not in cursors
            cursors.append(cursor)
        wanted = {(f"{n:02}.txt", "FILE") for n in range(8)} | {("p", "FILE"), ("p", "FOLDER")}
        assert sorted(seen) == sorted(wanted | {(f"sub{n}", "FOLDER") for n in range(3)})
        whole = listed(stored, folder)
        assert sorted((item["name"], item["type"]) for item in whole["items"]) == sorted(seen)

    def test_entries_tell_size_time_and_a_path_to_go_on_with(
        self, stored: Platform, folder: str
    ) -> None:
        put(stored, f"{folder}/sub/file.bin", b"12345")
        (sub,) = listed(stored, folder)["items"]
        assert (sub["path"], sub["size"], sub["lastModified"]) == (f"{folder}/sub/", 0, None)
        (file,) = listed(stored, sub["path"])["items"]
        assert (file["path"], file["size"]) == (f"{folder}/sub/file.bin", 5)
        assert file["lastModified"].endswith("Z")
        (same,) = stored.client.get("/files/dir", params={"dir": own(stored, sub["path"])}).json()[
            "files"
        ]
        assert same == file | {"path": own(stored, file["path"])}

    @pytest.mark.parametrize("limit", [-1, 1001, "all"])
    def test_other_limits_are_refused(self, stored: Platform, limit: object) -> None:
        url = f"/storage/{REGION}/directories/"
        assert stored.client.get(url, params={"limit": str(limit)}).status_code == 422

    @pytest.mark.parametrize("cursor", ["x", "0", "AAAA", "ü"])
    def test_broken_cursors_are_refused(self, stored: Platform, cursor: str) -> None:
        url = f"/storage/{REGION}/directories/"
        answer = stored.client.get(url, params={"limit": 10, "cursor": cursor})
        assert answer.status_code == 400


class TestNames:
    @pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:24])
    def test_are_kept_to_the_letter(self, stored: Platform, folder: str, name: str) -> None:
        path = f"{folder}/{name}"
        if len(f"{stored.storage.private_prefix}{path}") > 1000:
            path = name
        where = put(stored, path, name.encode())
        assert where == stored.storage.user_path + path
        assert fetched(stored, path) == name.encode()
        read = stored.client.get("/files/download", params={"key": own(stored, path)})
        assert read.content == name.encode()
        above, _, last = path.rpartition("/")
        assert last in names(listed(stored, above))
        bucket, _, key = where.removeprefix("s3://").partition("/")
        body = stored.store.client().get_object(Bucket=bucket, Key=key)["Body"].read()
        assert body == name.encode()
        assert stored.client.delete(f"/storage/{REGION}/files/{quote(path)}").status_code == 200
        assert last not in names(listed(stored, above, limit=0)) or name == "p"

    @pytest.mark.parametrize("name", REFUSED, ids=lambda name: ascii(name)[:24])
    def test_others_are_refused_in_a_sentence(self, stored: Platform, name: str) -> None:
        answer = stored.client.post("/files/upload-url", params={"key": own(stored, name)})
        assert answer.status_code == 422
        assert problem(answer)
        # Clients take dots out of a path themselves; a line's end is in no path of a route.
        escaped = quote(name, safe="").replace(".", "%2E")
        answer = stored.client.post(f"/storage/{REGION}/file-upload-url/{escaped}")
        assert answer.status_code in ({404} if "\n" in name else {422})
        assert problem(answer)

    def test_a_slash_in_front_does_not_matter(self, stored: Platform, folder: str) -> None:
        where = put(stored, f"{folder}/file")
        for key in (f"/{own(stored, folder)}/file", where):
            answer = stored.client.post("/files/upload-url", params={"key": key})
            assert answer.json()["uploadUrl"].split("?")[0].endswith(f"/{folder}/file")


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
    made: list[str] = []

    def register(name: str, **fields: Any) -> str:
        body = {
            "name": name,
            "path": "s3://partner/fields",
            "region": "us-east-1",
            "endpointUrl": stored.settings.s3_endpoint,
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
        assert client.delete(f"{home}/directories/").status_code == 403
        assert client.delete(f"{home}/directories/2024").status_code == 200
        assert client.get(f"{home}/directories/2024").status_code == 404

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
            assert httpx.put(url, content=b"2", trust_env=False).status_code == 403
            assert client.get("/storage").status_code == 403
            assert stored.client.post(path, json=on).is_success
            assert client.get(f"/storage/{REGION}/files/kept").status_code == 302
            if not whole_organization:
                assert stored.client.delete(path).is_success
                assert httpx.put(url, content=b"2", trust_env=False).status_code == 403

    def test_the_right_to_read_is_no_right_to_write(self, stored: Platform) -> None:
        reader = add_principal(stored, policies=[Policy("files:read", "*", "ALLOW")])
        with reader.client(stored) as client:
            assert client.get(f"/storage/{REGION}/directories/").status_code == 200
            assert client.post(f"/storage/{REGION}/file-upload-url/f").status_code == 403
            assert client.put(f"/storage/{REGION}/directories/f").status_code == 403
            assert client.request("DELETE", "/files", json=["b/k"]).status_code == 403
