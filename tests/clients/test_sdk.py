"""The published Python SDK, unmodified: `WherobotsJob` with scripts that lie in S3.

WHEROBOTS_API_BASE_URL names the platform, https only; REQUESTS_CA_BUNDLE its authority.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.conftest import Secured, drive

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ENVIRONMENT = "sdk"

SCRIPTS = {
    "chatty": """
import sys, time
print(sys.argv[1:])
for n in range(1100):
    print(f"line {n}", flush=True)
    if n % 500 == 0:
        time.sleep(1)
""",
    "failing": "raise SystemExit(3)\n",
    "endless": "import time\nprint('up')\ntime.sleep(600)\n",
}


@pytest.fixture(scope="module")
def told(secured: Secured, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    uris = {name: secured.upload(f"sdk-{name}.py", text) for name, text in SCRIPTS.items()}
    env = {
        "WHEROBOTS_API_BASE_URL": secured.url,
        "WHEROBOTS_API_KEY": secured.key,
        **secured.authority,
    }
    return drive(ENVIRONMENT, "sdk_jobs.py", env, tmp_path_factory.mktemp("sdk"), uris)


def test_logs_are_streamed_whole_and_in_order(told: dict[str, Any]) -> None:
    written = ["['--county', 'Haskell County']", *(f"line {n}" for n in range(1100))]
    assert told["chatty"]["status"] == "COMPLETED"
    assert told["chatty"]["lines"] == written
    assert told["chatty"]["again"] == written


def test_metrics_stay_after_the_end(told: dict[str, Any]) -> None:
    processor, memory = told["chatty"]["samples"]
    assert processor >= 1
    assert memory >= processor


def test_a_run_can_be_attached_to(told: dict[str, Any]) -> None:
    assert told["chatty"]["attached"] == ["sdk-chatty-job", "micro", "aws-us-west-2", "latest"]


def test_failure_and_cancel_end_the_waiting(told: dict[str, Any], secured: Secured) -> None:
    assert told["failing"]["status"] == "FAILED"
    assert told["endless"] == {"accepted": True, "status": "CANCELLED"}
    run = secured.run(told["failing"]["run_id"])
    assert run["payload"]["runtime"] == "tiny"


def test_runs_are_listed_by_pages_and_status(told: dict[str, Any]) -> None:
    names = ["sdk-endless-job", "sdk-failing-job", "sdk-chatty-job"]
    assert told["listed"] == {"total": 3, "names": names, "failed": ["sdk-failing-job"]}
