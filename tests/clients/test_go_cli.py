"""The public Go command line, built by whoever runs this: `LANDLOOM_TEST_GO_CLI` names the binary.

It builds its commands from the server's OpenAPI document, and trusts what SSL_CERT_FILE names.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.platform import eventually
from tests.clients.conftest import Secured
from tests.e2e.conftest import plain_environment

PROGRAM = os.environ.get("LANDLOOM_TEST_GO_CLI", "")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not PROGRAM, reason="LANDLOOM_TEST_GO_CLI does not name the Go command line's binary"
    ),
]

type Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def cli(secured: Secured, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    env = plain_environment() | {
        "HOME": str(tmp_path_factory.mktemp("cli")),
        "SSL_CERT_FILE": secured.authority["REQUESTS_CA_BUNDLE"],
        "WHEROBOTS_API_URL": secured.url,
        "WHEROBOTS_API_KEY": secured.key,
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [PROGRAM, *arguments]
        return subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=90, check=False
        )

    return run


def answer(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_commands_are_made_of_the_document(cli: Cli) -> None:
    tree = cli("--tree").stdout
    assert "error" not in tree.lower()
    for verb in ("create-job-run", "get-job-run-logs", "create-api-key", "get-me"):
        assert verb in tree


def test_a_run_is_submitted_followed_and_cancelled(cli: Cli, secured: Secured) -> None:
    uri = secured.upload("cli.py", "import time\nprint('up')\ntime.sleep(600)\n")
    body = {"name": "cli-api-run", "runtime": "micro", "runPython": {"uri": uri}}
    run = answer(cli("api", "runs", "create-job-run", "--yes", "--json", json.dumps(body)))
    named = ("--run-id", run["id"])
    page = eventually(
        lambda: answer(cli("api", "runs", "logs", "get-job-run-logs", *named)),
        lambda page: page["items"],
    )
    assert page["items"][0]["raw"] == "up"
    answer(cli("api", "runs", "cancel", "cancel-job-run", "--yes", *named))
    ended = eventually(
        lambda: answer(cli("api", "runs", "get-job-run", *named)),
        lambda run: run["status"] != "RUNNING",
    )
    assert ended["status"] == "CANCELLED"


def test_a_local_script_is_uploaded_and_run(cli: Cli, secured: Secured, tmp_path: Path) -> None:
    script = tmp_path / "local.py"
    script.write_text("for n in range(900):\n    print(n if n % 10 else '')\n")
    done = cli("job-runs", "create", str(script), "--name", "cli-job-run", "-r", "micro", "--watch")
    assert done.returncode == 0, done.stderr
    printed = [line for line in done.stdout.splitlines() if line.isdigit()]
    assert printed == [str(n) for n in range(900) if n % 10]
    (run,) = answer(cli("api", "runs", "list-job-runs", "--name", "cli-job-run"))["items"]
    home = secured.platform.connection["USER_S3_PATH"]
    assert run["payload"]["runPython"]["uri"] == f"{home}cli-job-run/local.py"


def test_an_integration_does_not_take_the_upload(
    cli: Cli, secured: Secured, tmp_path: Path
) -> None:
    """The command line asks each integration for its folder first."""
    body = {"name": "elsewhere", "path": "s3://elsewhere/data", "region": "r",
            "endpointUrl": "http://127.0.0.1:9"}  # fmt: skip
    made = answer(cli("api", "storage", "create-integration", "--yes", "--json", json.dumps(body)))
    script = tmp_path / "again.py"
    script.write_text("print('ours')\n")
    try:
        done = cli("job-runs", "create", str(script), "--name", "cli-again", "-r", "micro", "-w")
    finally:
        named = ("--integration-id", made["id"])
        answer(cli("api", "storage", "delete-integration", "--yes", *named))
    assert done.returncode == 0, done.stderr
    assert "ours" in done.stdout


def test_job_runs(cli: Cli, secured: Secured) -> None:
    failing = secured.upload("cli-failing.py", "raise SystemExit(3)\n")
    done = cli("job-runs", "create", failing, "--name", "cli-failing", "-r", "micro", "--watch")
    assert done.returncode == 1
    assert "FAILED" in done.stderr
    listed = cli("job-runs", "list", "--output", "text", "-l", "2").stdout
    assert "cli-failing" in listed
