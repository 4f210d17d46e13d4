"""`landloom notebook`: a real JupyterLab, a kernel of its, and the first cells of a notebook."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import jupyter_client
import pytest

from tests.e2e.conftest import LANDLOOM, Platform, plain_environment, samples_environment

pytestmark = pytest.mark.e2e

DEADLINE_SECONDS = 180

NOTEBOOK = """
import os
prefix = os.getenv('USER_S3_PATH')
prefix
# %%
from rasterflow_remote import RasterflowClient
from rasterflow_remote.data_models import ModelRecipes
client = RasterflowClient()
# %%
import geopandas as gpd
import wkls
gdf = gpd.read_file(wkls['us']['ks']['Haskell County'].geojson())
gdf.to_parquet(prefix + 'haskell.parquet')
len(gpd.read_parquet(prefix + 'haskell.parquet'))
# %%
import s3fs
fs = s3fs.S3FileSystem(profile='default')
fs.exists(prefix + 'haskell.parquet')
"""
CELLS = NOTEBOOK.split("# %%")
SAID = (None, "", "1", "True")


@pytest.fixture(scope="module")
def lab(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, Path]]:
    """A JupyterLab: its URL, token and the folder of its kernels' connections."""
    home = tmp_path_factory.mktemp("home")
    env = plain_environment() | samples_environment()
    env |= {"JUPYTER_RUNTIME_DIR": str(home / "runtime"), "IPYTHONDIR": str(home / "ipython")}
    env |= {"JUPYTER_CONFIG_DIR": str(home), "JUPYTER_DATA_DIR": str(home / "data")}
    log = home / "lab.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*LANDLOOM, "notebook", str(home), f"--data={platform.folder}", "--no-browser"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (
            found := re.search(r"(http://127\.0\.0\.1:\d+)/lab\?token=(\w+)", log.read_text())
        ):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield found[1], found[2], home / "runtime"
    finally:
        process.terminate()
        process.wait(30)


def test_the_first_cells_of_a_notebook_work(lab: tuple[str, str, Path], platform: Platform) -> None:
    url, token, runtime = lab
    with httpx.Client(base_url=url, headers={"Authorization": f"token {token}"}, timeout=60) as web:
        assert web.get("/api/status").status_code == 200
        kernel = web.post("/api/kernels", json={"name": "python3"}).json()["id"]
        client = jupyter_client.BlockingKernelClient()
        client.load_connection_file(str(runtime / f"kernel-{kernel}.json"))
        client.start_channels()
        try:
            _wait_until_ready(client)
            user = platform.connection["USER_S3_PATH"]
            for cell, wanted in zip(CELLS, SAID, strict=True):
                assert _said(client, cell) == (repr(user) if wanted is None else wanted)
        finally:
            client.stop_channels()
            web.delete(f"/api/kernels/{kernel}")


def _wait_until_ready(client: jupyter_client.BlockingKernelClient) -> None:
    """Wait for the kernel; on a busy machine it misses a heartbeat and is taken for dead."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            client.wait_for_ready(timeout=DEADLINE_SECONDS)
        except RuntimeError:
            assert time.monotonic() < deadline, "the kernel did not come up"
        else:
            return


def _said(client: jupyter_client.BlockingKernelClient, cell: str) -> str:
    """Run a cell; return what it shows as its result."""
    shown = []

    def note(message: dict[str, dict[str, dict[str, str]]]) -> None:
        content = message["content"]
        if "data" in content:
            shown.append(content["data"]["text/plain"])

    reply = client.execute_interactive(cell, timeout=DEADLINE_SECONDS, output_hook=note)
    assert reply["content"]["status"] == "ok", "\n".join(reply["content"].get("traceback", []))
    return shown[-1] if shown else ""


def test_without_a_platform_it_says_what_to_do(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*LANDLOOM, "notebook", "--no-browser"],
        env=plain_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "USER_S3_PATH is not set in the environment" in ended.stderr
    assert "--data DIR" in ended.stderr
