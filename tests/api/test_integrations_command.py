"""`landloom storage integrations` and `usage` against a running platform."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from landloom.cli.main import cli
from landloom.errors import NotFound, SetupProblem
from tests.api.platform import Platform

SECRET = "never-to-be-seen"


@pytest.fixture
def command(api: Platform, tmp_path: Path) -> Callable[..., Result]:
    """Run a command as the platform's admin; the last line of its input is a typed secret."""
    file = tmp_path / "connection.env"
    file.write_text(f"LANDLOOM_URL={api.url}\nWHEROBOTS_API_KEY={api.admin.api_key}\n")

    def run(*arguments: str, typed: str | None = None) -> Result:
        asked = ["storage", *arguments, "--connection", str(file)]
        return CliRunner().invoke(cli, asked, input=typed)

    return run


def test_an_integration_is_added_tested_listed_and_removed(
    command: Callable[..., Result], tmp_path: Path
) -> None:
    place = ("partner", "s3://partner/fields", "--endpoint", "http://127.0.0.1:9", "--read-only")
    made = command("integrations", "add", *place, "--access-key", "AK", typed=f"{SECRET}\n")
    assert made.exit_code == 0, made.output
    assert SECRET not in made.output
    assert "nothing possible" in made.stderr
    assert "does not answer" in made.stderr
    listed = json.loads(command("integrations", "list", "--json").stdout)
    (mine,) = [each for each in listed if each["id"] == made.stdout.strip()]
    assert (mine["name"], mine["readOnly"]) == ("partner", True)
    assert "s3://partner/fields/" in command("integrations", "list").stdout
    assert command("integrations", "test", "partner").exit_code == 1
    assert command("integrations", "remove", "partner").exit_code == 0
    again = command("integrations", "remove", "partner")
    assert isinstance(again.exception, NotFound)
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    place = ("open", "s3://open", "--endpoint", "http://127.0.0.1:9")
    kept = command("integrations", "add", *place, "--access-key", "A", "--secret-file", str(file))
    assert kept.exit_code == 0, kept.output
    absent = str(tmp_path / "absent")
    lost = command("integrations", "add", *place, "--access-key", "A", "--secret-file", absent)
    assert isinstance(lost.exception, SetupProblem)
    assert absent in str(lost.exception)


def test_usage_shows_every_prefix(command: Callable[..., Result], api: Platform) -> None:
    shown = command("usage")
    assert shown.exit_code == 0, shown.output
    assert "no quota" in shown.stderr
    found = json.loads(command("usage", "--json").stdout)
    assert found["bytes"] == 0
    for prefix in found["prefixes"]:
        assert prefix["path"] in shown.stdout
