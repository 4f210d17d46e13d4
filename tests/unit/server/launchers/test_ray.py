"""The Ray launcher: the contract of all launchers, on a real cluster of one node."""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ray.job_submission import JobSubmissionClient
from ray.util.state import list_actors
from tests.api.platform import eventually
from tests.api.test_workflows import CALLS_A_WORKFLOW
from tests.api.test_workflows import request as tiles_request
from tests.contract.launcher import LauncherContract, log_lines, until
from tests.e2e.server_process import Server
from tests.engine.job_cluster import CORES, MEMORY_BYTES, job_cluster

from landloom.errors import SetupProblem
from landloom.runner import folder, processes
from landloom.server.kit.clock import from_wire
from landloom.server.launchers import ray_jobs
from landloom.server.launchers.base import Workload
from landloom.server.launchers.ray import RayLauncher
from landloom.server.launchers.ray_size import measure
from landloom.server.launchers.runtimes import RUNTIMES

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
LIMIT_SECONDS = 15
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


@pytest.fixture
def free(cluster):
    """Leave the cluster no room; what makes room again."""
    jobs = JobSubmissionClient(cluster.address)
    job = jobs.submit_job(entrypoint="sleep 600", entrypoint_num_cpus=CORES)

    def free():
        jobs.stop_job(job)
        eventually(lambda: jobs.get_job_status(job).is_terminal(), bool, 300)

    try:
        eventually(lambda: jobs.get_job_status(job), lambda status: status == "RUNNING", 300)
        yield free
    finally:
        free()


@pytest.mark.timeout(600)
class TestRayLauncher(LauncherContract):
    @pytest.fixture
    def launcher(self, make):
        return make()

    @pytest.fixture
    def again(self, make):
        return make()

    async def test_a_head_that_hangs_is_noticed_though_its_connections_stay(
        self, cluster, make, workload, monkeypatch
    ):
        launcher = make(away_seconds=5)
        work = workload("print('up'); import time; time.sleep(600)")
        await launcher.start(work)
        await self.printed(work, "up")
        monkeypatch.setattr(ray_jobs, "_ASK_SECONDS", 1.0)
        with cluster.stopped():

            async def is_lost():
                return (await launcher.observe(work.directory)).state == "lost"

            await until(is_lost, "the loss")
            await launcher.sweep(work.directory)

        async def is_gone():
            return processes.strays(folder.MARKER, work.id, None) == []

        await until(is_gone, "the end of its processes")

    async def test_what_ray_has_no_room_for_waits_and_can_be_cancelled(
        self, launcher, again, workload, free
    ):
        work, unwanted = workload("print('late')"), workload("print('never')", name="w2")
        for each in (work, unwanted):
            await launcher.start(each)
        seen = await launcher.observe(work.directory)
        assert (seen.state, seen.started_at) == ("waiting", None)
        assert seen.waits_for == "room on the Ray cluster"
        await again.start(work)
        await again.cancel(unwanted.directory)
        gone = await self.ended(again, unwanted)
        assert (gone.reason, gone.started_at) == ("cancelled", None)
        assert (await again.observe(work.directory)).state == "waiting"
        await asyncio.to_thread(free)
        seen = await self.ended(again, work)
        assert (seen.reason, seen.exit_code) == ("exited", 0)
        assert seen.started_at is not None
        assert log_lines(work.directory) == ["late"]
        assert log_lines(unwanted.directory) == []


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


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_a_run_that_waits_for_tiles_on_its_own_cluster_gets_them(cluster, tmp_path):
    addresses = {
        "RAY_ADDRESS": cluster.cluster.address,
        "RAY_API_SERVER_ADDRESS": cluster.address,
        "LANDLOOM_EXECUTOR": "ray",
    }
    server = Server(
        tmp_path,
        env=addresses,
        launcher="ray",
        ray_python=sys.executable,
        cpus=None,
        memory_bytes=None,
        workflow_argv=[sys.executable, str(Path(__file__).with_name("tile_worker.py"))],
    )
    server.start()
    try:
        uri = server.upload(CALLS_A_WORKFLOW % tiles_request())
        # As large as the whole cluster, had it not to leave tiles a core.
        assert RUNTIMES["x-large"].cpus >= CORES
        run_id = server.submit(uri, runtime="x-large")
        run = server.finished(run_id, 400)
        lines = server.lines(run_id)
    finally:
        server.kill()
    assert (run["status"], lines[-1]) == ("COMPLETED", "COMPLETED True"), lines


def shown(server, run_id):
    run = server.ask("GET", f"/runs/{run_id}")
    return run["status"], run["startTime"], run["kubeApp"]["message"]


@pytest.mark.e2e
@pytest.mark.timeout(1000)
def test_a_run_that_ray_has_no_room_for_waits_and_begins_once(cluster, free, tmp_path):
    server = Server(
        tmp_path, env={"RAY_ADDRESS": cluster.address}, launcher="ray", ray_python=sys.executable
    )
    server.start()
    waiting = "PENDING", None, "Waiting for room on the Ray cluster."
    try:
        uri = server.upload("print('begun')")
        kept, unwanted = (server.submit(uri, timeoutSeconds=LIMIT_SECONDS) for _ in range(2))
        for run_id in (kept, unwanted):
            eventually(lambda run_id=run_id: shown(server, run_id), lambda it: it == waiting, 60)
        assert server.ask("GET", "/runs?status=PENDING")["total"] == 2
        server.ask("POST", f"/runs/{unwanted}/cancel")
        gone = server.finished(unwanted)
        assert (gone["status"], gone["startTime"]) == ("CANCELLED", None)
        server.kill()
        server.start()
        assert shown(server, kept) == waiting
        # It has waited for longer than it may run.
        created = from_wire(server.ask("GET", f"/runs/{kept}")["createTime"])
        limit = timedelta(seconds=LIMIT_SECONDS)
        eventually(lambda: datetime.now(UTC), lambda at: at > created + limit)
        freed = datetime.now(UTC)
        free()
        run = server.finished(kept, 150)
        assert run["status"] == "COMPLETED", run
        assert from_wire(run["startTime"]) > freed
        assert server.lines(kept) == ["begun"]
        codes = [event["code"] for event in run["kubeApp"]["events"]]
        assert codes == [
            *("APP_START_CREATION", "RUN_WAIT_EXEC", "RUN_START_EXEC", "RUN_COMPLETE_EXEC")
        ]
        jobs = JobSubmissionClient(cluster.address).list_jobs()
        told = [(job.metadata or {}).get("landloom_workload") for job in jobs]
        assert told.count(kept) == 1
    finally:
        server.kill()
