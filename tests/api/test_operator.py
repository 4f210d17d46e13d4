"""What the operator reads: figures for Prometheus, and a log of JSON lines without any key."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from landloom.server import journal
from landloom.server.accounts.rights import Policy
from landloom.server.kit import digests
from tests.api.platform import Platform, eventually
from tests.api.principals import add_principal

type Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def figures(client: httpx.Client) -> Figures:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def one(found: Figures, name: str, **labels: str) -> float:
    return found.get((name, frozenset(labels.items())), 0.0)


class TestFigures:
    def test_answers_are_counted_by_route_not_by_path(self, api: Platform) -> None:
        labels = {"method": "GET", "route": "/runs/{run_id}"}
        name = "landloom_http_requests_total"
        before = figures(api.client)
        for number in range(3):
            api.client.get(f"/runs/absent{number}")
        api.client.get("/nowhere")
        after = figures(api.client)
        counted = [one(each, name, **labels, status="404") for each in (before, after)]
        assert counted[1] - counted[0] == 3
        assert one(after, "landloom_http_request_seconds_count", **labels) >= 3
        assert one(after, name, method="GET", route="elsewhere", status="404") >= 1
        assert not any("absent" in value for _, each in after for _, value in each)

    def test_runs_are_counted_as_they_stand(self, api: Platform) -> None:
        before = figures(api.client)
        api.finished(api.submit("print('hello')")["id"])
        after = figures(api.client)
        counts = [one(each, "landloom_runs", status="COMPLETED") for each in (before, after)]
        assert counts[1] - counts[0] == 1
        assert one(after, "landloom_runs", status="PENDING") == 0
        assert one(after, "landloom_oldest_waiting_seconds", kind="run") == 0
        assert one(after, "landloom_disk_free_bytes") > 0
        assert one(after, "process_resident_memory_bytes") > 0

    def test_a_service_may_be_given_this_right_alone(self, api: Platform) -> None:
        scraper = add_principal(api, policies=[Policy("platform:read", "metrics", "ALLOW")])
        with scraper.client(api) as client:
            assert figures(client)
            assert client.get("/organizations").status_code == 403
            assert client.get("/runs").status_code == 403


class TestRequestId:
    def test_one_that_is_given_comes_back(self, api: Platform) -> None:
        answer = api.client.get("/runs/absent", headers={"X-Request-Id": "trace-1.2_3"})
        assert answer.headers["x-request-id"] == "trace-1.2_3"
        assert answer.json()["requestId"] == "trace-1.2_3"

    @pytest.mark.parametrize("given", ["", "two words", "x" * 65, 'quo"te'])
    def test_one_that_is_unfit_is_replaced(self, api: Platform, given: str) -> None:
        answer = api.client.get("/runs", headers={"X-Request-Id": given})
        assert answer.headers["x-request-id"] not in {"", given}


@contextlib.contextmanager
def server_log() -> Iterator[io.StringIO]:
    """Catch the log that the server writes, configured as `landloom up` does it."""
    root = logging.getLogger()
    before, level = root.handlers, root.level
    text = io.StringIO()
    with contextlib.redirect_stderr(text):
        journal.configure(logging.DEBUG)
    try:
        yield text
    finally:
        root.handlers, root.level = before, level
        structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())


def misuse(api: Platform, key: str) -> list[httpx.Response]:
    """Put a key wherever a client might put one by mistake."""
    nobody = {"X-API-Key": key + "x"}
    source = {"uri": f"s3://{api.settings.bucket}/{api.admin.org_id}/data/shared/{key}.txt"}
    body: dict[str, Any] = {"name": "short", "runtime": key, "runPython": source}
    return [
        api.client.get(f"/runs/{key}"),
        api.client.delete(f"/apikey/{key}"),
        api.client.get("/runs", params={"cursor": key}),
        api.client.get("/runs", params={"status": key}),
        api.client.get(f"/{key}"),
        api.client.post("/runs", json=body),
        api.client.post("/runs", json={**body, "name": "long-enough"}),
        api.client.post("/runs", content=key, headers={"content-type": "application/json"}),
        api.client.post("/rasterflow/runs", json={"kind": key}),
        httpx.get(f"{api.url}/runs", headers=nobody),
        httpx.get(f"{api.url}/runs", headers={"Authorization": f"Basic {key}"}),
        httpx.get(f"{api.url}/runs", headers={"X-API-Key": ""}, params={"api_key": key}),
    ]


def test_keys_are_nowhere_in_the_log_in_errors_or_in_the_database(api: Platform):
    expires = {"name": "leaky", "expiresAt": "2999-01-01T00:00:00Z"}
    with server_log() as log:
        key = api.client.post("/apikey", json=expires).json()["key"]
        answers = misuse(api, key)
        run = api.submit("import os; print('started'); raise SystemExit(2)")
        api.finished(run["id"])
        lines = log.getvalue().splitlines()
    assert all(answer.status_code >= 400 for answer in answers)
    assert [answer.text for answer in answers if key in answer.text] == []
    assert digests.preview(key) in answers[0].text
    assert len(lines) > len(answers)
    assert [line for line in lines if key in line or api.admin.api_key in line] == []
    stored = api.stored()
    assert key not in stored
    assert api.admin.api_key not in stored
    assert digests.digest(key) in stored
    written = [
        path
        for path in api.settings.data_dir.rglob("*")
        if path.is_file() and path.name != "test.key" and key.encode() in path.read_bytes()
    ]
    assert written == []


def test_the_log_is_json_lines_with_the_requests_id(api: Platform):
    with server_log() as log:
        api.client.get("/runs/absent", headers={"X-Request-Id": "trace-me"})

        def traced() -> list[dict[str, Any]]:
            lines = [json.loads(line) for line in log.getvalue().splitlines()]
            return [line for line in lines if line.get("request_id") == "trace-me"]

        # The line is written when the answer is out.
        (mine,) = eventually(traced, bool)
    assert mine["event"] == "request"
    assert mine["method"] == "GET"
    assert mine["path"] == "/runs/absent"
    assert mine["status"] == 404
    assert mine["level"] == "info"
    assert mine["timestamp"].endswith("Z")
