"""The published Airflow provider, unmodified: `WherobotsRunOperator` through `execute`.

It takes a host and nothing else, speaks https only, and trusts what REQUESTS_CA_BUNDLE names.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.clients.conftest import Secured, drive

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ENVIRONMENT = "airflow"

LINES = 1203
"""More than two of the provider's pages of 500."""

CHATTY = f"""
import sys, time
for n in range({LINES}):
    print("" if n % 100 == 7 else f"line {{n}}", file=(sys.stdout, sys.stderr)[n % 2], flush=True)
    if n % 300 == 0:
        time.sleep(0.5)
print("WARNING: nearly done")
"""
WRITTEN = ["" if n % 100 == 7 else f"line {n}" for n in range(LINES)] + ["WARNING: nearly done"]

TASKS: dict[str, dict[str, Any]] = {
    "airflow-success": {"script": CHATTY},
    "airflow-failure": {"script": "print('before the fall')\nraise SystemExit(3)\n"},
    "airflow-timeout": {
        "script": "import time\nprint('on and on')\ntime.sleep(600)\n",
        "arguments": {"timeout_seconds": 2},
    },
    "airflow-cancel": {
        "script": "import time\nprint('until you stop me')\ntime.sleep(600)\n",
        "kill": "until you stop me",
    },
}


@pytest.fixture(scope="module")
def outcomes(
    secured: Secured, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    plan = [
        {
            "name": name,
            "kill": task.get("kill"),
            "arguments": {
                "run_python": {"uri": secured.upload(f"{name}.py", task["script"])},
                "runtime": "micro",
                **task.get("arguments", {}),
            },
        }
        for name, task in TASKS.items()
    ]
    connection = {"conn_type": "generic", "host": secured.host, "password": secured.key}
    home = tmp_path_factory.mktemp("airflow")
    env = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_WHEROBOTS_DEFAULT": json.dumps(connection),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        **secured.authority,
    }
    told = drive(ENVIRONMENT, "airflow_operators.py", env, home, plan)
    return {each["name"]: each for each in told}


def printed(outcome: dict[str, Any]) -> list[str]:
    """Return what the operator showed between its two marks: the run's own lines."""
    lines = [text for _level, text in outcome["lines"]]
    start = next(n for n, line in enumerate(lines) if line.endswith(" Start:"))
    own = ("Run ", "=== ")
    return [line for line in lines[start + 1 :] if not line.startswith(own)]


def test_success_shows_every_line_in_order(outcomes: dict[str, Any]) -> None:
    outcome = outcomes["airflow-success"]
    assert outcome["error"] is None
    assert printed(outcome) == WRITTEN
    assert ["WARNING", "WARNING: nearly done"] in outcome["lines"]


def test_failure_raises(outcomes: dict[str, Any]) -> None:
    outcome = outcomes["airflow-failure"]
    assert outcome["error"] == f"Run {outcome['run_id']} failed, please check the logs"
    assert printed(outcome) == ["before the fall"]


def test_timeout_is_told_as_one(outcomes: dict[str, Any]) -> None:
    outcome = outcomes["airflow-timeout"]
    assert outcome["error"] == f"Run {outcome['run_id']} failed due to timeout"
    # On a busy machine its two seconds may be over before it prints.
    assert printed(outcome) in ([], ["on and on"])


def test_a_killed_task_cancels_its_run(outcomes: dict[str, Any], secured: Secured) -> None:
    outcome = outcomes["airflow-cancel"]
    assert outcome["error"] == f"Run {outcome['run_id']} was cancelled by user"
    assert secured.run(outcome["run_id"])["status"] == "CANCELLED"


def test_the_organizations_region_is_taken_where_none_is_named(
    outcomes: dict[str, Any], secured: Secured
) -> None:
    run = secured.run(outcomes["airflow-success"]["run_id"])
    assert run["payload"]["region"] == "aws-us-west-2"
