"""curl, as our own documentation shows it: the block of commands is run as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import Secured
from tests.e2e.conftest import ROOT, plain_environment

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here"),
]


def documented() -> str:
    """Return the commands of the documentation's section about curl."""
    section = (ROOT / "docs" / "api.md").read_text().partition("## By curl\n")[2]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return block


def bash(commands: str, env: dict[str, str], work: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        env=plain_environment() | env,
        cwd=work,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_documented_commands_submit_follow_and_read_a_run(
    secured: Secured, tmp_path: Path
) -> None:
    secured.upload("hello.py", "print('hello, curl')\n")
    done = bash(documented(), secured.platform.connection, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nCOMPLETED\n" in done.stdout
    assert '"raw":"hello, curl"' in done.stdout.replace('": "', '":"')


def test_a_wrong_key_is_told_and_fails_the_script(secured: Secured, tmp_path: Path) -> None:
    env = secured.platform.connection | {"WHEROBOTS_API_KEY": "wrong"}
    done = bash(documented(), env, tmp_path)
    assert done.returncode != 0
    assert "401" in done.stderr
