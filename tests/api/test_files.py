"""`/files/*` and `/storage/*` over a real store: sources, folders, pages, names."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.api.filing import REGION, fetched, listed, names, own, problem, put
from tests.api.platform import Platform

NAMES = [
    "plain.txt",
    "with space.txt",
    "ends with a space ",
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
        kept = [f"{folder}/trees/kept"]
        kept += [f"{folder}/tree"] if stored.store.has_files_beside_folders else []
        for path in [*kept, *(f"{folder}/tree/{n % 3}/{n}" for n in range(9))]:
            put(stored, path)
        stored.client.put(f"/storage/{REGION}/directories/{folder}/tree/empty")
        url = f"/storage/{REGION}/directories/{folder}/tree"
        assert stored.client.delete(url).status_code == 200
        assert stored.client.get(url).status_code == 404
        left = {path.removeprefix(f"{folder}/").split("/")[0] for path in kept}
        assert set(names(listed(stored, folder))) == left
        assert {fetched(stored, path) for path in kept} == {b"x"}

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
        beside = ["p", "p/q"] if stored.store.has_files_beside_folders else ["p"]
        made = [f"{n:02}.txt" for n in range(8)] + [f"sub{n}/f" for n in range(3)] + beside
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
        wanted = {(f"{n:02}.txt", "FILE") for n in range(8)} | {("p", "FILE")}
        wanted |= {("p", "FOLDER")} if len(beside) > 1 else set()
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
        # A folder that was never made is gone with the last file in it, in most stores.
        assert stored.client.get(f"/storage/{REGION}/files/{quote(path)}").status_code == 404

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
