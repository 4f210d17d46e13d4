"""What runs that have ended leave on the disk, and what is told of them when that is gone."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta
from pathlib import Path

from sqlalchemy import update

from landloom.runner import folder
from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.runs.tables import Run
from tests.api.platform import Platform, eventually, platform

CHATTY = "import time\nopen('large', 'w').write('x' * 10000)\nprint('up', flush=True)\n"
SLEEPER = CHATTY + "time.sleep(600)\n"
KEPT = {
    *(folder.LOG, folder.INDEX, folder.EXIT, folder.RUNNER, folder.LOCK, folder.ERRORS),
    *(folder.CANCEL, "usage"),
}


def directory(api: Platform, run_id: str) -> Path:
    return api.settings.workloads_dir / run_id


def left(api: Platform, run_id: str) -> set[str]:
    return {each.name for each in directory(api, run_id).iterdir()}


def is_cleared(api: Platform, run_id: str) -> bool:
    return left(api, run_id) <= KEPT


def age(api: Platform, run_id: str, days: float) -> None:
    """Have a run end so many days ago."""

    async def change() -> None:
        database = Database(api.settings.database)
        async with database.writing(None) as session:
            at = now() - timedelta(days=days)
            await session.execute(update(Run).where(Run.id == run_id).values(completed_at=at))
        await database.close()

    asyncio.run(change())


class TestFolders:
    def test_keys_and_files_go_with_the_end_and_log_and_figures_stay(self, api: Platform) -> None:
        run_id = api.submit(CHATTY)["id"]
        assert api.finished(run_id)["status"] == "COMPLETED"
        eventually(lambda: is_cleared(api, run_id), bool)
        assert {folder.LOG, folder.EXIT} <= left(api, run_id)
        assert api.lines(run_id) == ["up"]
        assert api.client.get(f"/runs/{run_id}/metrics").status_code == 200

    def test_they_stay_while_it_runs_and_go_where_its_runner_was_killed(
        self, api: Platform
    ) -> None:
        gone = api.submit(CHATTY)["id"]
        run_id = api.submit(SLEEPER)["id"]
        eventually(lambda: api.lines(run_id), bool)
        api.finished(gone)
        eventually(lambda: is_cleared(api, gone), bool)
        assert {folder.SPEC, folder.WORK, "profile", "script"} <= left(api, run_id)
        record = folder.read_runner(directory(api, run_id))
        assert record is not None
        os.kill(record.pid, signal.SIGKILL)
        assert api.finished(run_id)["status"] == "FAILED"
        eventually(lambda: is_cleared(api, run_id), bool)
        assert api.lines(run_id) == ["up"]

    def test_one_that_was_never_prepared_is_no_stumbling_block(self, api: Platform) -> None:
        body = {"runPython": {"uri": api.storage.user_path + "absent.py"}}
        run_id = api.client.post("/runs", json=body).json()["id"]
        assert api.finished(run_id)["status"] == "FAILED"
        eventually(lambda: is_cleared(api, run_id), bool)
        assert any("absent.py" in line for line in api.lines(run_id))


def test_the_next_server_removes_what_is_old_and_clears_what_one_left_that_was_killed(
    data_dir: Path,
) -> None:
    with platform(data_dir) as api:
        old, young = (api.submit(CHATTY)["id"] for _ in range(2))
        for run_id in (old, young):
            api.finished(run_id)
            eventually(lambda: is_cleared(api, run_id), bool)  # noqa: B023
        age(api, old, 31)
        age(api, young, 29)
    (directory(api, young) / folder.SPEC).write_text("keys")
    (directory(api, young) / folder.WORK).mkdir()
    (data_dir / "workloads" / "not-ours").mkdir()
    with platform(data_dir, log_days=30) as api:
        eventually(lambda: is_cleared(api, young), bool)
        assert api.lines(young) == ["up"]
        eventually(lambda: directory(api, old).exists(), lambda there: not there)
        (line,) = api.client.get(f"/runs/{old}/logs").json()["items"]
        assert "kept here for 30 days" in line["raw"]
        assert api.client.get(f"/runs/{old}/logs?cursor=1").json()["items"] == []
        assert api.client.get(f"/runs/{old}").json()["status"] == "COMPLETED"
        found = api.client.get(f"/runs/{old}/metrics").json()
        assert found == {"series_metrics": {}, "instant_metrics": {}}
        assert (data_dir / "workloads" / "not-ours").is_dir()
