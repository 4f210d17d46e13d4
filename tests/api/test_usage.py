"""What was used: `/usage`, costs, and a run's own figures."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from landloom.server.accounts.rights import ADMIN
from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.kit.ids import new_id
from landloom.server.runs.states import RunStatus
from landloom.server.runs.tables import Run
from landloom.server.usage import schemas
from tests.api.platform import Platform, eventually, platform
from tests.api.principals import Principal, add_principal

PRICE = 2.5
SLOW = "import time; time.sleep(1.3)"


@pytest.fixture(scope="module")
def priced(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform whose operator has set a price."""
    folder = tmp_path_factory.mktemp("priced")
    runtimes = folder / "runtimes.toml"
    runtimes.write_text("[micro]\nspatial_units_per_hour = 7200\n")
    with platform(folder, usd_per_spatial_unit=PRICE, runtimes=runtimes) as running:
        yield running


@pytest.fixture(scope="module")
def ended(priced: Platform) -> dict[str, Any]:
    return priced.finished(priced.submit(SLOW)["id"])


def seconds(run: dict[str, Any]) -> float:
    began, end = (datetime.fromisoformat(run[name]) for name in ("startTime", "completeTime"))
    return (end - began).total_seconds()


async def add_runs(
    api: Platform, owner: Principal, times: Sequence[tuple[datetime, datetime | None]]
) -> None:
    """Store runs as if they had run between these instants, at one Spatial Unit an hour."""
    database = Database(api.settings.database)
    async with database.writing(owner.organization_id) as session:
        for began, end in times:
            run = Run(
                id=new_id(), created_at=began, updated_at=end or began, name="of-the-past",
                organization_id=owner.organization_id, user_id=owner.user_id, region="r",
                runtime="micro", resolved_version="1", payload={}, app_id=new_id(),
                status=RunStatus.COMPLETED, started_at=began, completed_at=end,
                spatial_units_per_hour=1.0,
            )  # fmt: skip
            session.add(run)
    await database.close()


def metrics(api: Platform, run_id: str) -> dict[str, Any]:
    return api.client.get(f"/runs/{run_id}/metrics").json()


class TestRunFigures:
    def test_units_and_cost_follow_from_the_time_it_ran(
        self, priced: Platform, ended: dict[str, Any]
    ) -> None:
        instant = metrics(priced, ended["id"])["instant_metrics"]
        units = instant["CONSUMED_SPATIAL_UNITS"]["metric"]
        assert units["data"]["value"] == pytest.approx(2 * seconds(ended), abs=1e-3)
        cost = instant["COST_USD"]["metric"]
        assert cost["format"] == "CURRENCY"
        assert cost["data"]["value"] == pytest.approx(PRICE * units["data"]["value"], abs=1e-3)
        series = metrics(priced, ended["id"])["series_metrics"]["CONSUMED_SPATIAL_UNITS"]
        values = [point["value"] for point in series["metric"]["data"]]
        assert values == sorted(values)

    def test_without_a_price_there_is_no_cost(self, api: Platform) -> None:
        run = api.submit(SLOW)
        api.finished(run["id"])
        instant = metrics(api, run["id"])["instant_metrics"]
        assert "CONSUMED_SPATIAL_UNITS" in instant
        assert "COST_USD" not in instant

    def test_what_was_not_sampled_is_absent(self, priced: Platform) -> None:
        run = priced.submit(SLOW)
        ended = priced.finished(run["id"])
        (priced.settings.workloads_dir / ended["id"] / "usage").unlink()
        assert metrics(priced, run["id"]) == {"series_metrics": {}, "instant_metrics": {}}


class TestCosts:
    def ask(self, api: Platform, *ids: str) -> dict[str, Any]:
        return api.client.post("/usage/costs", json={"kubeAppIds": ids}).json()["costs"]

    def test_every_id_is_answered_once(self, priced: Platform, ended: dict[str, Any]) -> None:
        app_id = ended["kubeApp"]["id"]
        costs = self.ask(priced, app_id, "absent")
        assert set(costs) == {app_id, "absent"}
        assert costs["absent"] == {
            "kind": "unavailable", "kube_app_id": "absent", "reason": "not_found",
        }  # fmt: skip
        known = costs[app_id]
        assert known["status"] == "final"
        assert float(known["spatial_units"]) == pytest.approx(2 * seconds(ended), abs=1e-5)
        assert float(known["cost"]) == pytest.approx(PRICE * float(known["spatial_units"]), 1e-5)

    def test_one_that_runs_costs_more_by_the_minute(self, priced: Platform) -> None:
        run = priced.submit("import time; time.sleep(60)")
        eventually(lambda: priced.run(run["id"]), lambda seen: seen["status"] == "RUNNING")
        app_id = priced.run(run["id"])["kubeApp"]["id"]
        first = self.ask(priced, app_id)[app_id]
        assert first["status"] == "live"
        assert first["settled_at"] is None
        before = float(first["cost"])
        eventually(lambda: float(self.ask(priced, app_id)[app_id]["cost"]), lambda x: x > before)
        priced.client.post(f"/runs/{run['id']}/cancel")
        priced.finished(run["id"])

    @pytest.mark.parametrize("ids", [[], ["x"] * 101])
    def test_one_to_a_hundred_are_asked_at_once(self, priced: Platform, ids: list[str]) -> None:
        answer = priced.client.post("/usage/costs", json={"kubeAppIds": ids})
        assert answer.status_code == 422


class TestHistory:
    def test_a_run_and_its_client_are_listed(self, priced: Platform) -> None:
        uri = priced.upload("fails.py", "raise SystemExit(4)")
        run = priced.client.post(
            "/runs",
            json={"name": "in-history", "runtime": "micro", "runPython": {"uri": uri}},
            headers={"X-Wherobots-Client": "client=airflow;ver=1.8.1, client=proxy;ver=2"},
        ).json()
        priced.finished(run["id"])
        (item,) = [
            each for each in priced.client.get("/usage/history").json()
            if each["runId"] == run["id"]
        ]  # fmt: skip
        assert item["workloadType"] == "RUN"
        assert item["status"] == "FAILED"
        assert item["runStatus"] == "FAILED"
        assert "exit code 4" in item["message"]
        assert item["sourceClient"] == "airflow"
        assert item["sourceClientChain"] == "client=airflow;ver=1.8.1, client=proxy;ver=2"
        assert item["runtimeId"] == "micro"

    def test_its_time_and_its_kind_can_be_chosen(
        self, priced: Platform, ended: dict[str, Any]
    ) -> None:
        def ids(**query: str) -> list[str]:
            return [
                each["runId"] for each in priced.client.get("/usage/history", params=query).json()
            ]

        at = ended["createTime"]
        assert ended["id"] in ids(startTime=at)
        assert ended["id"] not in ids(endTime=at)
        assert ended["id"] in ids(workloadType="RUN")
        assert ended["id"] not in ids(workloadType="RASTERFLOW_RUN")
        backwards = {"startTime": "2030-01-01", "endTime": "2020-01-01"}
        assert priced.client.get("/usage/history", params=backwards).status_code == 422
        assert ids(endTime="0001-01-01") == []

    def test_every_item_is_what_the_document_says(
        self, priced: Platform, ended: dict[str, Any]
    ) -> None:
        workflow = {
            "kind": "predict_mosaic", "mosaics": ["s3://absent/m.zarr"],
            "inference": {"model_path": "m.pt2", "patch_size": 64, "clip_size": 8,
                          "features": ["a"], "labels": ["b"]},
        }  # fmt: skip
        assert priced.client.post("/rasterflow/runs", json=workflow).status_code == 201
        items = priced.client.get("/usage/history").json()
        assert {"RUN", "RASTERFLOW_RUN"} == {each["workloadType"] for each in items}
        for each in items:
            assert schemas.WorkloadHistoryItem.model_validate(each).wire() == each
        assert ended["createTime"] in {each["createTime"] for each in items}
        assert items == sorted(items, key=lambda each: each["createTime"], reverse=True)


class TestChart:
    @pytest.mark.parametrize(("timerange", "slices"), [("24h", 24), ("7d", 28), ("30d", 30)])
    def test_slices_are_whole_and_the_last_one_ends_now(
        self, priced: Platform, ended: dict[str, Any], timerange: str, slices: int
    ) -> None:
        chart = priced.client.get("/usage/workloads/chart", params={"timerange": timerange}).json()
        assert len(chart) == slices
        assert all(one["end"] == other["start"] for one, other in itertools.pairwise(chart))
        used = [each for part in chart[-2:] for each in part["usage"].values()]
        assert {each["key"]["user"] for each in used} == {"admin@localhost"}
        assert sum(each["usage"] for each in used) >= 2 * seconds(ended)
        assert all(part["usage"] == {} for part in chart[:-2])

    def test_a_run_counts_in_each_slice_for_the_time_it_ran_there(self, priced: Platform) -> None:
        somebody = add_principal(priced, role=ADMIN, organization_id="")
        at = now()

        def ago(**time: float) -> datetime:
            return at - timedelta(**time)

        # Half an hour in the middle of slices, so that the moments until the answer do not matter.
        times = [
            # Within one slice of a day; two of them are one sum.
            (ago(days=2, hours=6), ago(days=2, hours=4, minutes=30)),
            (ago(days=2, hours=6), ago(days=2, hours=5)),
            # Across an edge, from before the first one on, and not over yet.
            (ago(days=5, hours=1, minutes=30), ago(days=4, hours=20, minutes=30)),
            (ago(days=31), ago(days=27, hours=12, minutes=30)),
            (ago(hours=3, minutes=30), None),
            # Before them all.
            (ago(days=40), ago(days=35)),
        ]
        asyncio.run(add_runs(priced, somebody, times))
        with somebody.client(priced) as client:
            chart = client.get("/usage/workloads/chart", params={"timerange": "30d"}).json()
        used = [sum(each["usage"] for each in part["usage"].values()) for part in chart]
        seen = {30 - number: units for number, units in enumerate(used) if units}
        assert seen == {30: 24, 29: 24, 28: 12, 6: 2, 5: 4, 3: 3, 1: 4}


def test_the_hints_say_what_is_on_offer(tmp_path: Path) -> None:
    with platform(tmp_path / "data", enabled_runtimes=("micro", "tiny")) as running:
        hint = running.client.get("/me/jupyter/lab/config-hint").json()
    runtimes = {each["id"]: each for each in hint["runtimes"]["hint"]}
    assert len(runtimes) == 23
    assert [name for name, each in runtimes.items() if each["enabled"]] == ["micro", "tiny"]
    assert runtimes["x-large-himem"]["size"] == "XLARGE"
    assert runtimes["x-large-himem"]["tags"] == ["HIMEM"]
    assert runtimes["tiny-a10-gpu"]["instanceDetails"]["gpu"] == 1
    assert {each["regionName"] for each in hint["regions"]["hint"]} == set(
        running.settings.allowed_regions
    )
    aliases = [name for each in hint["versions"]["hint"] for name in each["aliases"]]
    assert sorted(aliases) == ["latest", "preview"]
