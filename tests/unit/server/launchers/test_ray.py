"""The Ray launcher: the contract of all launchers, on a real cluster of one node."""

import asyncio
import json
import sys

import pytest
from ray.job_submission import JobSubmissionClient
from ray.util.state import list_actors
from tests.contract.launcher import LauncherContract, until
from tests.e2e.server_process import Server
from tests.engine.job_cluster import CORES, MEMORY_BYTES, job_cluster

from landloom.errors import SetupProblem
from landloom.server.launchers.base import Workload
from landloom.server.launchers.ray import RayLauncher, measure

SCRIPT = """
import json, os, pathlib, sys, time
time.sleep(1.5)
print(json.dumps({
    "argv": sys.argv[1:],
    "profile": pathlib.Path(os.environ["AWS_CONFIG_FILE"]).is_file(),
    "hook": "sitecustomize" in sys.modules,
    "document": json.loads(
        pathlib.Path(os.environ["LANDLOOM_DOCUMENTS"], "settings.json").read_text()
    )["word"],
    "run": os.environ["LANDLOOM_RUN_ID"],
    "cluster": "RAY_ADDRESS" in os.environ,
}, indent=1))
"""
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def cluster():
    with job_cluster() as running:
        yield running


@pytest.fixture
def make(cluster, tmp_path):
    def make(**changes):
        settings = {"python": sys.executable, "job_python": sys.executable, "grace_seconds": 1}
        return RayLauncher(cluster.address, tmp_path, **(settings | changes))

    return make


@pytest.mark.timeout(180)
class TestRayLauncher(LauncherContract):
    @pytest.fixture
    def launcher(self, make):
        return make()

    @pytest.fixture
    def again(self, make):
        return make()


async def test_what_a_runtime_has_is_asked_of_ray(cluster, make, tmp_path):
    work = Workload(
        id=f"asks-{tmp_path.name}",
        directory=tmp_path / "asks",
        argv=(sys.executable, "-c", ""),
        env={"WHEROBOTS_API_KEY": "k3pt-to-ourselves"},
        timeout_seconds=9,
        cpus=0.5,
        memory_bytes=3 << 30,
        gpus=1,
    )
    launcher = make()
    await launcher.start(work)
    info = JobSubmissionClient(cluster.address).get_job_info(f"landloom-{work.id}")
    assert "k3pt-to-ourselves" not in str(info)

    async def asked():
        actors = await asyncio.to_thread(list_actors, cluster.address, detail=True)
        return [actor.required_resources for actor in actors if work.id in (actor.name or "")]

    assert await until(asked, "the job") == [{"CPU": 0.5, "GPU": 1.0, "memory": float(3 << 30)}]
    # The cluster has no GPU: it waits there till it is cancelled.
    await launcher.cancel(work.directory)

    async def look():
        return (await launcher.observe(work.directory)).reason == "cancelled"

    await until(look, "the end")


def test_a_cluster_says_what_it_has_and_is_remembered(cluster, tmp_path):
    kept = tmp_path / "cluster.json"
    size = measure(cluster.address, kept)
    assert size.largest == size.together
    assert (size.together.cpus, size.together.memory_bytes) == (CORES, MEMORY_BYTES)
    assert measure(NOBODY, kept) == size


def test_a_cluster_that_never_was_there_says_so(tmp_path):
    with pytest.raises(SetupProblem, match=f"No Ray cluster answers at {NOBODY}"):
        measure(NOBODY, tmp_path / "cluster.json")


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_a_server_sends_its_runs_there(cluster, tmp_path):
    server = Server(
        tmp_path, env={"RAY_ADDRESS": cluster.address}, launcher="ray", ray_python=sys.executable
    )
    server.start()
    try:
        settings = server.upload('{"word": "documents"}', "settings.json")
        uri = server.upload(SCRIPT)
        environment = {"dependencies": [{"sourceType": "FILE", "filePath": settings}]}
        run_id = server.submit(
            uri, environment=environment, runPython={"uri": uri, "args": ["a b"]}
        )
        run = server.finished(run_id, 150)
        told = json.loads("\n".join(server.lines(run_id)))
        use = server.ask("GET", f"/runs/{run_id}/metrics")["instant_metrics"]
    finally:
        server.kill()
    assert run["status"] == "COMPLETED", run
    assert told == {
        "argv": ["a b"],
        "profile": True,
        "hook": True,
        "document": "documents",
        "run": run_id,
        "cluster": True,
    }
    assert use["MEMORY_UTILIZATION_PERCENT"]["metric"]["data"]["value"] > 0
