"""Pages of a run's log: cursors are line ordinals."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.platform import Platform


@pytest.fixture(scope="module")
def path(api: Platform) -> str:
    script = "for n in range(2500): print('' if n % 5 == 0 else f'line {n}')\n"
    run = api.submit(script)
    assert api.finished(run["id"])["status"] == "COMPLETED"
    return f"/runs/{run['id']}/logs"


def page(api: Platform, path: str, **query: Any) -> dict[str, Any]:
    answer = api.client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestPages:
    def test_the_default_is_the_first_hundred(self, api: Platform, path: str) -> None:
        for query in ({}, {"cursor": ""}, {"cursor": "0"}):
            found = page(api, path, **query)
            assert len(found["items"]) == 100
            assert (found["current_page"], found["next_page"]) == (0, 100)

    def test_pages_join_without_gap_or_overlap(self, api: Platform, path: str) -> None:
        cursor: int | None = 0
        lines: list[str] = []
        while cursor is not None:
            found = page(api, path, cursor=cursor, size=333)
            assert found["current_page"] == cursor
            lines += [item["raw"] for item in found["items"]]
            cursor = found["next_page"]
        assert lines == ["" if n % 5 == 0 else f"line {n}" for n in range(2500)]

    def test_large_sizes_are_capped_not_refused(self, api: Platform, path: str) -> None:
        found = page(api, path, size=10**12)
        assert len(found["items"]) >= 1000
        assert found["next_page"] == len(found["items"])

    def test_beyond_the_end_the_cursor_is_echoed(self, api: Platform, path: str) -> None:
        for cursor in (2500, 99999, 10**18):
            found = page(api, path, cursor=cursor)
            assert found == {"items": [], "current_page": cursor, "next_page": None}

    def test_timestamps_are_milliseconds_that_never_decrease(
        self, api: Platform, path: str
    ) -> None:
        stamps = [item["timestamp"] for item in page(api, path, size=1000)["items"]]
        assert all(isinstance(stamp, int) for stamp in stamps)
        assert stamps == sorted(stamps)
        assert 1.5e12 < stamps[0] < 5e12

    @pytest.mark.parametrize(
        "query",
        [
            {"size": 0},
            {"size": -1},
            {"size": "x"},
            {"cursor": "abc"},
            {"cursor": "-1"},
            {"cursor": "1.5"},
            {"cursor": "٣"},
            {"cursor": "9" * 5000},
        ],
    )
    def test_what_is_no_position_is_refused(
        self, api: Platform, path: str, query: dict[str, Any]
    ) -> None:
        answer = api.client.get(path, params=query)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] in {"size", "cursor"}
