"""`landloom users` and `landloom orgs` against a running platform."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from landloom.cli.main import cli
from landloom.errors import Conflict, NotFound
from tests.api.platform import Platform

type Command = Callable[..., Result]


@pytest.fixture
def command(api: Platform, tmp_path: Path) -> Command:
    """Run a command as the platform's admin; returns its result."""
    file = tmp_path / "connection.env"
    file.write_text(f"LANDLOOM_URL={api.url}\nWHEROBOTS_API_KEY={api.admin.api_key}\n")

    def run(*arguments: str, **options: str) -> Result:
        return CliRunner().invoke(cli, [*arguments, "--connection", str(file)], **options)

    return run


def status(api: Platform, key: str, path: str = "/runs") -> int:
    return httpx.get(f"{api.url}{path}", headers={"X-API-Key": key}).status_code


def test_a_person_is_added_switched_off_and_removed(api: Platform, command: Command):
    made = command("users", "create", "Ada Low", "--email", "ada@x.org", "--key", "--days", "7")
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    assert key not in made.stderr
    assert status(api, key) == 200
    assert "ada@x.org" in command("users", "list").stdout
    (found,) = [
        each for each in json.loads(command("users", "list", "--json").stdout)
        if each["email"] == "ada@x.org"
    ]  # fmt: skip

    assert command("users", "role", "ada@x.org", "Admin", "User").exit_code == 0
    assert status(api, key, "/organization/apikeys") == 200
    assert command("users", "role", found["id"]).exit_code == 0
    assert status(api, key) == 403
    command("users", "role", "Ada Low", "User")

    assert command("users", "disable", "ada low").exit_code == 0
    assert status(api, key) == 403
    assert " off" in command("users", "list").stdout
    assert command("users", "enable", "ada@x.org").exit_code == 0
    assert status(api, key) == 200
    assert command("users", "remove", "ada@x.org").exit_code == 0
    assert status(api, key) == 401
    assert isinstance(command("users", "remove", "ada@x.org").exception, NotFound)


def test_a_service_acts_by_a_role_of_its_own(api: Platform, command: Command):
    denied = "runs:read@runs/*/logs"
    made = command("users", "set-role", "Watcher", "--allow", "runs:read", "--deny", denied)
    assert made.exit_code == 0, made.output
    assert "runs/*/logs" in command("users", "roles").stdout
    key = command(
        "users", "create", "airflow", "--service", "--role", "Watcher", "--key"
    ).stdout.strip()
    run = api.submit("print('hello')")
    assert status(api, key, f"/runs/{run['id']}") == 200
    assert status(api, key, f"/runs/{run['id']}/logs") == 403
    assert command("users", "remove-role", "Watcher").exit_code == 0
    assert status(api, key, f"/runs/{run['id']}") == 403


def test_the_first_administrator_cannot_lock_itself_out(api: Platform, command: Command):
    assert isinstance(command("users", "disable", api.admin.user_id).exception, Conflict)


def test_an_organization_is_made_suspended_and_closed(api: Platform, command: Command):
    made = command("orgs", "create", "Farm", "--admin", "Fay", "--email", "fay@farm.example")
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    assert key not in made.stderr
    assert status(api, key) == 200
    assert status(api, key, "/organizations") == 404
    assert command("orgs", "suspend", "Farm").exit_code == 0
    assert status(api, key) == 403
    assert command("orgs", "resume", "Farm").exit_code == 0
    assert status(api, key) == 200
    assert command("orgs", "close", "Farm", input="n\n").exit_code != 0
    assert status(api, key) == 200
    assert command("orgs", "close", "Farm", "--yes").exit_code == 0
    assert status(api, key) == 403
    assert "closed" in command("orgs", "list").stdout
    listed = json.loads(command("orgs", "list", "--json").stdout)
    assert [each["id"] for each in listed if each["operates"]] == [api.admin.org_id]


@pytest.mark.parametrize("group", ["users", "orgs", "keys"])
def test_every_command_says_what_it_does(group: str):
    commands = next(each for each in cli.registered_groups if each.name == group).typer_instance
    assert commands is not None
    for each in commands.registered_commands:
        shown = CliRunner().invoke(cli, [group, str(each.name), "--help"])
        assert shown.exit_code == 0
        assert (each.callback.__doc__ or "").splitlines()[0] in " ".join(shown.output.split())
