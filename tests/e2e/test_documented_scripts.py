"""The documented way, bytes unchanged: upload a script, submit it, let it find field boundaries.

The submit script of the public documentation has its host name written into it. A user edits that
line or maps the name; here the resolver of the script's own process maps it, over real TLS.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import geopandas as gpd
import numpy as np
import psutil
import pytest
import requests
import s3fs
import xarray as xr
from shapely.geometry import box, mapping

from tests.e2e.conftest import (
    ROOT,
    SAMPLES,
    Platform,
    landloom,
    plain_environment,
    samples_environment,
    start_platform,
)

pytestmark = pytest.mark.e2e

DOCUMENTED_HOST = "api.cloud.wherobots.com"
EXAMPLES = Path(
    os.environ.get("LANDLOOM_PUBLIC_EXAMPLES", ROOT.parent / "shared" / "contract" / "examples")
)
HASKELL = box(-100.90, 37.50, -100.86, 37.53)
"""A corner of the county, so that a test takes seconds; the benchmark runs all of it."""
LABELS = ["non_field_background", "field", "field_boundaries"]


@pytest.fixture(scope="module")
def county(tmp_path_factory):
    """A platform with TLS over relocated scenes, where Haskell County is a small place."""
    folder = tmp_path_factory.mktemp("county")
    divisions = gpd.read_parquet(SAMPLES / "aoi" / "wkls_overture_division_area_sample.parquet")
    names = divisions["names"].map(lambda value: value["primary"])
    divisions.loc[names == "Haskell County", "geometry"] = HASKELL
    divisions.to_parquet(folder / "divisions.parquet")
    aoi = folder / "aoi.geojson"
    aoi.write_text(json.dumps({"type": "Feature", "properties": {}, "geometry": mapping(HASKELL)}))
    subprocess.run(
        [sys.executable, SAMPLES / "county_scenes.py", "--aoi", aoi, "--out", folder / "scenes"],
        env=plain_environment(),
        check=True,
        timeout=300,
        capture_output=True,
    )
    named = {
        "LANDLOOM_CATALOG": str(folder / "scenes" / "catalog.toml"),
        "LANDLOOM_DIVISIONS": str(folder / "divisions.parquet"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in named.items():
            patch.setenv(name, value)
        patch.setattr("tests.e2e.conftest.samples_environment", lambda: named)
        yield start_platform(folder / "data", "--tls", f"--tls-name={DOCUMENTED_HOST}")
    landloom("down", f"--data={folder / 'data'}")


def python(platform: Platform, *arguments: object, cwd: Path) -> str:
    """Run a script as a user with connection.env sourced; return what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=platform.env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Api:
    """The Runs API by plain requests."""

    def __init__(self, platform: Platform) -> None:
        connection = platform.connection
        self._url = connection["LANDLOOM_URL"]
        self._session = requests.Session()
        self._session.headers["X-API-Key"] = connection["WHEROBOTS_API_KEY"]
        # Else a bundle that this machine names in its environment would win over ours.
        self._session.trust_env = False
        self._session.verify = connection["REQUESTS_CA_BUNDLE"]

    def get(self, path, **query):
        answer = self._session.get(f"{self._url}{path}", params=query, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def submit(self, uri: str, *args: str) -> str:
        body = {"name": "documented-job", "runtime": "micro", "runPython": {"uri": uri}}
        body["runPython"]["args"] = list(args)
        answer = self._session.post(f"{self._url}/runs", json=body, timeout=30)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def lines(self, run_id):
        """Every line so far, by the cursor."""
        cursor, lines = 0, []
        while True:
            page = self.get(f"/runs/{run_id}/logs", cursor=cursor, size=100)
            lines += [item["raw"] for item in page["items"]]
            if page["next_page"] is None:
                return lines
            cursor = page["next_page"]

    def until(self, run_id, fulfilled, seconds=240):
        """Poll until `fulfilled(run, lines)`, then return both."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                run, lines = self.get(f"/runs/{run_id}"), self.lines(run_id)
                if fulfilled(run, lines):
                    return run, lines
            except requests.ConnectionError:
                lines = ["the server is away"]
            assert time.monotonic() < deadline, "\n".join(lines)
            time.sleep(0.2)

    def ended(self, run_id):
        return self.until(run_id, lambda run, _: run["status"] not in {"PENDING", "RUNNING"})


@pytest.fixture(scope="module")
def api(county):
    return Api(county)


def check_prediction(platform: Platform, uri: str) -> None:
    connection = platform.connection
    store = s3fs.S3FileSystem(
        key=connection["AWS_ACCESS_KEY_ID"],
        secret=connection["AWS_SECRET_ACCESS_KEY"],
        endpoint_url=connection["AWS_ENDPOINT_URL"],
    ).get_mapper(uri)
    opened = xr.open_zarr(store)
    assert opened.attrs["proj:code"] == "EPSG:3857"
    assert opened["band"].values.tolist() == LABELS
    values = opened["variables"].isel(time=0).values
    total = values.sum(axis=0)
    valid = np.isfinite(total)
    assert valid.mean() > 0.99
    assert abs(total[valid] - 1).max() < 1e-5


class TestOwnScripts:
    def test_upload_submit_and_follow(self, county):
        jobs = SAMPLES / "jobs"
        uploaded = python(county, jobs / "upload.py", jobs / "field_boundaries.py", cwd=jobs)
        assert uploaded.strip().endswith("field_boundaries.py")
        printed = python(county, jobs / "submit.py", "field_boundaries.py", cwd=jobs)
        lines = printed.splitlines()
        for stage in ("search", "mosaic", "predict", "vectorize"):
            assert any(line.startswith(f"[rasterflow] {stage}") for line in lines), printed
        prediction = next(line for line in lines if line.startswith("Prediction: "))
        check_prediction(county, prediction.removeprefix("Prediction: "))


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the public scripts are not beside this checkout")
class TestPublicScripts:
    """The three scripts of the public documentation, one after another."""

    def test_upload_job_and_submit_run_with_their_bytes_unchanged(self, county, api, tmp_path):
        job = EXAMPLES / "rasterflow_ftw_job.py"
        (tmp_path / job.name).write_bytes(job.read_bytes())
        python(county, EXAMPLES / "upload_snippet.py", cwd=tmp_path)

        printed = self._submit(county, tmp_path)
        assert "Job submitted successfully!" in printed
        run_id = printed.partition("Job ID: ")[2].split()[0]

        run, lines = api.ended(run_id)
        assert run["status"] == "COMPLETED", lines
        assert run["name"].startswith("rasterflow-ftw-")
        assert run["payload"]["runtime"] == "micro"
        assert any("Recipe FTW is answered by" in line for line in lines)
        made = next(line for line in lines if line.startswith("Model outputs saved to: s3://"))
        check_prediction(county, made.removeprefix("Model outputs saved to: "))

    def _submit(self, platform: Platform, folder: Path) -> str:
        """Run the submit script in a process whose resolver knows the documented name."""
        url = urlsplit(platform.connection["LANDLOOM_URL"])
        script = EXAMPLES / "submit_rasterflow_job.py"
        mapper = Path(__file__).with_name("mapped_host.py")
        return python(platform, mapper, DOCUMENTED_HOST, url.port, script, cwd=folder)


class TestKilled:
    def test_a_killed_server_comes_back_and_the_run_completes_once(self, county, api):
        jobs = SAMPLES / "jobs"
        python(county, jobs / "upload.py", jobs / "field_boundaries.py", cwd=jobs)
        run_id = api.submit(county.connection["USER_S3_PATH"] + "field_boundaries.py")
        _, before = api.until(run_id, lambda _, lines: any("search" in line for line in lines))
        server = psutil.Process(json.loads((county.folder / "lock").read_text())["pid"])
        server.send_signal(signal.SIGKILL)
        server.wait(30)
        started = landloom(
            "up",
            f"--data={county.folder}",
            "--detach",
            "--tls",
            f"--tls-name={DOCUMENTED_HOST}",
            env=plain_environment()
            | {name: os.environ[name] for name in samples_environment() if name in os.environ},
        )
        assert started.returncode == 0, started.stderr
        run, lines = api.ended(run_id)
        assert run["status"] == "COMPLETED", lines
        assert lines[: len(before)] == before
        codes = [event["code"] for event in run["kubeApp"]["events"]]
        assert codes.count("RUN_START_EXEC") == 1
        workflows = api.get("/rasterflow/runs", run_id=run_id)["items"]
        assert sorted(each["kind"] for each in workflows) == [
            "build_and_predict_mosaic_recipe",
            "vectorize_mosaic",
        ]
        assert {each["status"] for each in workflows} == {"COMPLETED"}
        # Every event of each workflow reached the run's log once, in order.
        told = [line for line in lines if line.startswith("[rasterflow] mosaic")]
        assert len(told) == len(set(told)) == 1

    def test_a_killed_runner_fails_the_run_with_an_event_and_leaves_no_process(self, county, api):
        connection = county.connection
        script = connection["USER_S3_PATH"] + "sleeper.py"
        source = (
            "import subprocess, sys, time\n"
            "print('here', flush=True)\n"
            "subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
            "time.sleep(600)\n"
        )
        storage = s3fs.S3FileSystem(
            key=connection["AWS_ACCESS_KEY_ID"],
            secret=connection["AWS_SECRET_ACCESS_KEY"],
            endpoint_url=connection["AWS_ENDPOINT_URL"],
        )
        storage.pipe(script, source.encode())
        run_id = api.submit(script)
        api.until(run_id, lambda _, lines: "here" in lines)
        folder = county.folder / "workloads" / run_id
        runner = json.loads((folder / "runner.json").read_text())["pid"]
        os.kill(runner, signal.SIGKILL)
        run, lines = api.ended(run_id)
        assert run["status"] == "FAILED"
        assert lines == ["here"]
        assert run["kubeApp"]["events"][-1]["code"] == "RUN_FAIL_EXEC"
        assert [process for process in psutil.process_iter() if _belongs(process, folder)] == []


def _belongs(process: psutil.Process, folder: Path) -> bool:
    """Whether a living process works for the workload of this folder."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return Path(process.cwd()).is_relative_to(folder) or str(folder) in process.cmdline()
    except (psutil.Error, OSError):
        return False
