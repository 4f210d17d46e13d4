"""`landloom keys` against a running platform."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from landloom.cli.main import cli
from tests.api.platform import Platform


@pytest.fixture
def command(api: Platform, tmp_path: Path):
    """Run a command as the platform's admin; returns its result."""
    file = tmp_path / "connection.env"
    file.write_text(f"LANDLOOM_URL={api.url}\nWHEROBOTS_API_KEY={api.admin.api_key}\n")

    def run(*arguments: str):
        return CliRunner().invoke(cli, ["keys", *arguments, "--connection", str(file)])

    return run


def test_a_key_is_made_shown_once_listed_and_revoked(api: Platform, command):
    made = command("create", "my dag", "--days", "7")
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    headers = {"X-API-Key": key}
    assert httpx.get(f"{api.url}/users/me", headers=headers).status_code == 200
    assert key not in made.stderr

    listed = command("list").stdout
    assert "my dag" in listed
    assert key not in listed
    (found,) = [
        each for each in json.loads(command("list", "--json").stdout) if each["name"] == "my dag"
    ]
    assert found["id"] in command("list", "--all").stdout

    assert command("revoke", found["id"]).exit_code == 0
    assert httpx.get(f"{api.url}/users/me", headers=headers).status_code == 401
    assert "revoked" in command("list").stdout


def test_a_key_that_is_not_there_is_named(command):
    result = command("revoke", "absent")
    assert result.exit_code != 0
    assert "absent" in str(result.exception)
