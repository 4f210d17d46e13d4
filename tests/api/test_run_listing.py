"""`GET /runs`: filters, order, pages."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from landloom.server.accounts.rights import ADMIN
from landloom.server.kit.clock import now
from landloom.server.kit.paging import Cursor, Position
from landloom.server.runs import documents, schemas
from tests.api.platform import Platform, eventually, platform
from tests.api.principals import add_principal

NAMES = ["alpha-one", "alpha-two", "Alpha-One", "a_b-runs", "axb-runs", "100.runs.x"]
NUL = Cursor(Position(now(), "\0")).encode()
"""A cursor as ours are, but for the id in it, which PostgreSQL cannot be asked for."""


@pytest.fixture(scope="module")
def listed(
    database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Platform, list[Any]]]:
    """A platform with 23 finished runs, newest first."""
    with platform(tmp_path_factory.mktemp("listing")) as api:
        ids = []
        for number in range(23):
            body = {
                "name": NAMES[number % len(NAMES)],
                "runPython": {"uri": api.storage.user_path + "absent.py"},
            }
            region = "aws-us-east-1" if number % 4 == 0 else "aws-us-west-2"
            run = api.client.post("/runs", json=body, params={"region": region}).json()
            ids.append(run["id"])
        runs = [api.finished(each) for each in ids]
        yield api, runs[::-1]


def ask(api: Platform, **query: Any) -> dict[str, Any]:
    answer = api.client.get("/runs", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestPages:
    @pytest.mark.parametrize(("bound", "most"), [("_MAX_KEPT", 5), ("_MAX_KEPT_BYTES", 10_000)])
    def test_every_run_is_there_whatever_is_kept_of_them(
        self,
        listed: tuple[Platform, list[Any]],
        monkeypatch: pytest.MonkeyPatch,
        bound: str,
        most: int,
    ) -> None:
        api, runs = listed
        monkeypatch.setattr(documents, bound, most)
        for size in (25, 25, 7, 25):
            assert ask(api, size=size)["items"] == runs[:size]

    @pytest.mark.parametrize("size", [3, 7, 23, 25])
    def test_forward_and_back_meet_every_run_once(
        self, listed: tuple[Platform, list[Any]], size: int
    ) -> None:
        api, runs = listed
        pages = [ask(api, size=size)]
        while pages[-1]["next_page"]:
            pages.append(ask(api, size=size, cursor=pages[-1]["next_page"]))
        assert [run for page in pages for run in page["items"]] == runs
        assert {page["total"] for page in pages} == {len(runs)}
        assert pages[0]["previous_page"] is None
        for before, page in itertools.pairwise(pages):
            back = ask(api, size=size, cursor=page["previous_page"])
            assert back["items"] == before["items"]
            assert (back["previous_page"] is None) == (before["previous_page"] is None)
        for page in pages:
            assert ask(api, size=size, cursor=page["current_page"])["items"] == page["items"]
            backwards = ask(api, size=len(page["items"]), cursor=page["current_page_backwards"])
            assert backwards["items"] == page["items"]

    def test_size_zero_counts_only(self, listed: tuple[Platform, list[Any]]) -> None:
        api, runs = listed
        assert ask(api, size=0) == {
            "items": [],
            "total": len(runs),
            "current_page": None,
            "current_page_backwards": None,
            "previous_page": None,
            "next_page": None,
        }

    @pytest.mark.parametrize(
        "cursor",
        ["x", "!!!", "AAAA", ">dt:2024", "é", "a" * 3000, NUL],
        ids=["letter", "marks", "short", "date", "accent", "long", "nul"],
    )
    def test_a_broken_cursor_is_a_400(
        self, listed: tuple[Platform, list[Any]], cursor: str
    ) -> None:
        answer = listed[0].client.get("/runs", params={"cursor": cursor})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["code"] == "BAD_REQUEST_ERROR"

    def test_a_cut_cursor_is_a_400(self, listed: tuple[Platform, list[Any]]) -> None:
        api, _ = listed
        cursor = ask(api, size=3)["next_page"]
        for cut in (cursor[:-1], cursor[1:], cursor[:-4]):
            assert api.client.get("/runs", params={"cursor": cut}).status_code == 400


class TestFilters:
    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            ("alpha-one", {"alpha-one"}),
            ("alpha*", {"alpha-one", "alpha-two"}),
            ("*-runs", {"a_b-runs", "axb-runs"}),
            ("a_b*", {"a_b-runs"}),
            ("*.*", None),
            ("100*x", {"100.runs.x"}),
            ("absent-name", set()),
            ("*", set(NAMES)),
        ],
    )
    def test_names(
        self, listed: tuple[Platform, list[Any]], pattern: str, names: set[str] | None
    ) -> None:
        api, _ = listed
        if names is None:
            assert api.client.get("/runs", params={"name": pattern + "*"}).status_code == 422
            return
        assert {run["name"] for run in ask(api, name=pattern)["items"]} == names

    def test_status_and_region(self, listed: tuple[Platform, list[Any]]) -> None:
        api, runs = listed
        assert ask(api, status=["FAILED", "COMPLETED"])["total"] == len(runs)
        assert ask(api, status="RUNNING")["total"] == 0
        assert ask(api, status="TIMED_OUT")["total"] == 0
        east = [run for run in runs if run["region"] == "aws-us-east-1"]
        assert ask(api, region="aws-us-east-1")["items"] == east
        assert ask(api, region="moon-1")["total"] == 0

    def test_created_after_is_exclusive_in_every_spelling(
        self, listed: tuple[Platform, list[Any]]
    ) -> None:
        api, runs = listed
        at = runs[5]["createTime"]
        local = at.replace("Z", "")
        for text in (at, local, f"{local}+00:00", f"{local} 00:00"):
            assert ask(api, created_after=text)["items"] == runs[:5], text
        for text in ("2020-01-01", "2020-01-01-10:00:00", "2020-01-01T00:00:00+02:00"):
            assert ask(api, created_after=text)["total"] == len(runs)
        assert ask(api, created_after="2999-01-01")["total"] == 0

    @pytest.mark.parametrize(
        "query",
        [
            {"size": -1},
            {"size": 101},
            {"status": "DONE"},
            {"created_after": "yesterday"},
            {"created_after": "2024-13-01"},
            {"created_after": "0001-01-01T00:00:00+14:00"},
            {"name": "a b"},
            {"name": "a" * 256},
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, listed: tuple[Platform, list[Any]], query: dict[str, Any]
    ) -> None:
        answer = listed[0].client.get("/runs", params=query)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == next(iter(query))


class TestDocuments:
    def test_what_is_put_together_from_columns_is_what_the_schema_says(
        self, listed: tuple[Platform, list[Any]]
    ) -> None:
        api, _ = listed
        page = api.client.get("/runs", params={"size": 100})
        assert schemas.RunPage.model_validate_json(page.content).wire() == page.json()
        waiting = api.client.get(f"/runs/{page.json()['items'][0]['id']}")
        assert schemas.RunView.model_validate_json(waiting.content).wire() == waiting.json()


class TestCounters:
    def test_totals_are_exact_under_concurrent_submits_and_cancels(
        self, listed: tuple[Platform, list[Any]]
    ) -> None:
        api, runs = listed
        body = {"name": "counted-run", "runtime": "micro"}
        body |= {"runPython": {"uri": api.upload("wait.py", "import time; time.sleep(60)")}}

        def submit_and_cancel(_: int) -> None:
            made = api.client.post("/runs", json=body).json()["id"]
            api.client.post(f"/runs/{made}/cancel")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(submit_and_cancel, range(24)))
        eventually(
            lambda: ask(api, status=["PENDING", "RUNNING"], size=0)["total"],
            lambda unfinished: unfinished == 0,
        )
        assert ask(api, size=0)["total"] == len(runs) + 24
        # By name no counter knows: these are counted one by one.
        assert ask(api, name="counted-run", size=0)["total"] == 24
        for status in ("FAILED", "CANCELLED", "COMPLETED"):
            every = ask(api, status=status, name="*", size=0)["total"]
            assert ask(api, status=status, size=0)["total"] == every


def test_a_listed_run_is_the_run_whoever_asked_before(api: Platform):
    submitter = add_principal(api, role=ADMIN)
    with submitter.client(api) as client:
        uri = f"s3://{api.settings.bucket}/{api.admin.org_id}/data/shared/absent.py"
        run = client.post("/runs", json={"name": "kept-run", "runPython": {"uri": uri}}).json()

    def listed() -> dict[str, Any]:
        page = api.client.get("/runs", params={"name": "kept-run"}).json()
        (item,) = page["items"]
        assert item == api.run(run["id"])
        return item

    eventually(lambda: api.run(run["id"])["status"], lambda status: status == "FAILED")
    assert listed() == listed()
    role = {"roles": ["User"]}
    api.client.post(f"/organization/users/{submitter.user_id}", json=role)
    assert [each["name"] for each in listed()["triggeredBy"]["roles"]] == ["User"]
