"""Raster workflows through the API, done by a small worker that keeps to the files' contract."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.platform import Platform, eventually, platform

WORKER = (sys.executable, str(Path(__file__).with_name("worker.py")))

CALLS_A_WORKFLOW = """
import json, os, time, urllib.request

def ask(path, body=None):
    request = urllib.request.Request(
        os.environ["LANDLOOM_URL"] + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-API-Key": os.environ["WHEROBOTS_API_KEY"],
                 "Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=20))

view = ask("/rasterflow/runs", %s)
print(view["id"], flush=True)
while view["status"] in ("PENDING", "RUNNING"):
    time.sleep(0.05)
    view = ask("/rasterflow/runs/" + view["id"])
print(view["status"], view["run_id"] == os.environ["LANDLOOM_RUN_ID"])
"""


@pytest.fixture(scope="module")
def api(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform(tmp_path_factory.mktemp("workflows"), workflow_argv=WORKER) as running:
        yield running


def request(**aoi: Any) -> dict[str, Any]:
    return {
        "kind": "build_mosaics",
        "aoi": aoi,
        "start": "2023-01-01T00:00:00Z",
        "end": "2024-01-01T00:00:00Z",
        "datasets": ["s2med_harvest"],
    }


def submit(api: Platform, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = api.client.post("/rasterflow/runs", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


def view(api: Platform, workflow_id: str) -> dict[str, Any]:
    answer = api.client.get(f"/rasterflow/runs/{workflow_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def finished(api: Platform, workflow_id: str) -> dict[str, Any]:
    return eventually(
        lambda: view(api, workflow_id),
        lambda seen: seen["status"] not in {"PENDING", "RUNNING"},
    )


def follow(api: Platform, workflow_id: str, **query: Any) -> list[tuple[str, str, Any]]:
    """Return (event, id, data) until the stream ends."""
    events: list[tuple[str, str, Any]] = []
    path = f"/rasterflow/runs/{workflow_id}/events"
    with api.client.stream("GET", path, params=query, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            if not line and fields:
                events.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
                fields = {}
            name, _, value = line.partition(": ")
            if name in {"event", "id", "data"}:
                fields[name] = value
    return events


class TestOutcomes:
    def test_a_result_comes_back(self, api: Platform) -> None:
        made = submit(api, request(steps=3))
        assert (made["status"], made["run_id"], made["kind"]) == ("PENDING", None, "build_mosaics")
        done = finished(api, made["id"])
        assert done["status"] == "COMPLETED"
        uri = f"{api.storage.user_path}rasterflow/{made['id']}/index.parquet"
        assert done["result"]["index_uri"] == uri
        assert done["progress"]["message"] == "step 2"
        assert done["create_time"] <= done["start_time"] <= done["complete_time"]

    def test_an_engines_error_comes_through(self, api: Platform) -> None:
        done = finished(api, submit(api, request(fail=True))["id"])
        assert done["status"] == "FAILED"
        assert done["error"] == {
            "code": "MODEL_UNAVAILABLE",
            "message": "No model.",
            "suggestion": "Bring it.",
        }

    def test_a_crash_is_told_with_the_last_lines(self, api: Platform) -> None:
        done = finished(api, submit(api, request(crash=True))["id"])
        assert done["status"] == "FAILED"
        assert "137" in done["error"]["message"]
        assert "about to crash" in done["error"]["message"]

    def test_a_bucket_is_respected(self, api: Platform) -> None:
        folder = f"{api.storage.shared_path}out"
        made = submit(api, request() | {"bucket": folder})
        done = finished(api, made["id"])
        assert done["result"]["index_uri"] == f"{folder}/{made['id']}/index.parquet"

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"kind": "unknown"}, None),
            ({"datasets": []}, "datasets"),
            ({"end": "2022-01-01"}, None),
            ({"bucket": "elsewhere"}, "bucket"),
            ({"bucket": "s3://unknown/out"}, "bucket"),
            ({"bucket": "s3://landloom/another/data/shared"}, "bucket"),
        ],
    )
    def test_a_wrong_request_is_refused(
        self, api: Platform, change: dict[str, Any], field: str | None
    ) -> None:
        answer = api.client.post("/rasterflow/runs", json=request() | change)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0].get("field") == field

    def test_no_way_leads_out_of_ones_own_folder(self, api: Platform) -> None:
        around = f"{api.storage.user_path}../customer-another/out"
        answer = api.client.post("/rasterflow/runs", json=request() | {"bucket": around})
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["field"] == "bucket"

    @pytest.mark.parametrize("content", [b'"\\ud800"', b'{"aoi": "\\u0000"}', b"[1, NaN]", b"{"])
    def test_what_json_cannot_carry_is_refused(self, api: Platform, content: bytes) -> None:
        answer = api.client.post(
            "/rasterflow/runs", content=content, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 422, answer.text

    def test_a_repeated_post_makes_one_workflow(self, api: Platform) -> None:
        made = [submit(api, request(), **{"Idempotency-Key": "same"}) for _ in range(3)]
        assert len({each["id"] for each in made}) == 1


class TestEvents:
    def test_progress_then_end(self, api: Platform) -> None:
        made = submit(api, request(steps=5, pause=0.1))
        events = follow(api, made["id"])
        assert [event for event, _, _ in events] == ["progress"] * 5 + ["end"]
        assert [identity for _, identity, _ in events[:5]] == list("01234")
        assert [data["message"] for _, _, data in events[:5]] == [f"step {n}" for n in range(5)]
        assert events[-1][2]["status"] == "COMPLETED"

    def test_a_reader_that_comes_back_gets_only_the_rest(self, api: Platform) -> None:
        made = submit(api, request(steps=4))
        finished(api, made["id"])
        assert [each[1] for each in follow(api, made["id"], after=1)] == ["2", "3", ""]
        assert [each[1] for each in follow(api, made["id"], after=99)] == [""]
        path = f"/rasterflow/runs/{made['id']}/events"
        text = api.client.get(path, headers={"Last-Event-ID": "2"}).text
        assert text.count("event: progress") == 1


class TestCancel:
    def test_a_running_one_ends_by_itself_when_asked(self, api: Platform) -> None:
        made = submit(api, request(hang=True))
        eventually(lambda: view(api, made["id"])["progress"], bool)
        for _ in range(2):
            assert api.client.delete(f"/rasterflow/runs/{made['id']}").status_code == 204
        assert finished(api, made["id"])["status"] == "CANCELLED"
        assert api.client.delete(f"/rasterflow/runs/{made['id']}").status_code == 204

    def test_a_waiting_one_never_starts(self, api: Platform) -> None:
        first = submit(api, request(hang=True))
        eventually(lambda: view(api, first["id"])["status"], lambda at: at == "RUNNING")
        second = submit(api, request())
        assert "1 before it" in view(api, second["id"])["message"]
        api.client.delete(f"/rasterflow/runs/{second['id']}")
        assert view(api, second["id"])["status"] == "CANCELLED"
        api.client.delete(f"/rasterflow/runs/{first['id']}")
        assert finished(api, first["id"])["status"] == "CANCELLED"
        assert not (api.settings.workloads_dir / second["id"]).exists()

    def test_the_end_of_a_run_ends_its_workflows(self, api: Platform) -> None:
        for ending in ("cancel", "exit"):
            script = CALLS_A_WORKFLOW % repr(request(hang=True))
            if ending == "exit":
                script = script.replace("while view", "raise SystemExit(3)\nwhile view")
            run = api.submit(script)
            (workflow_id,) = eventually(lambda run=run: api.lines(run["id"]), bool)
            if ending == "cancel":
                api.client.post(f"/runs/{run['id']}/cancel")
            assert finished(api, workflow_id)["status"] == "CANCELLED"
            expected = "CANCELLED" if ending == "cancel" else "FAILED"
            assert api.finished(run["id"])["status"] == expected
            listed = api.client.get("/rasterflow/runs", params={"run_id": run["id"]}).json()
            assert [item["id"] for item in listed["items"]] == [workflow_id]


class TestTogether:
    def test_as_many_runs_as_fit_each_with_a_workflow_all_complete(self, api: Platform) -> None:
        script = CALLS_A_WORKFLOW % repr(request(steps=2))
        # Four of half a core fill the two cores; two more wait behind them.
        runs = [api.submit(script) for _ in range(6)]
        assert {api.finished(run["id"], 60)["status"] for run in runs} == {"COMPLETED"}
        assert all(api.lines(run["id"])[-1] == "COMPLETED True" for run in runs)

    def test_a_stopped_servers_workflow_is_found_again(self, tmp_path: Path) -> None:
        with platform(tmp_path, workflow_argv=WORKER) as api:
            made = submit(api, request(steps=20, pause=0.1))
            eventually(lambda: view(api, made["id"])["progress"], bool)
        with platform(tmp_path, workflow_argv=WORKER) as api:
            events = follow(api, made["id"])
            assert [identity for _, identity, _ in events] == [str(n) for n in range(20)] + [""]
            assert events[-1][2]["status"] == "COMPLETED"

    def test_other_organizations_see_nothing(self, api: Platform) -> None:
        made = submit(api, request())
        answer = httpx.get(f"{api.url}/rasterflow/runs/{made['id']}", headers={"X-API-Key": "no"})
        assert answer.status_code == 401
