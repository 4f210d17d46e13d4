"""`landloom orgs`: the organizations of a platform, for whoever operates it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from landloom.cli.asking import KEY_DAYS, connected, key_end, print_json, the_one
from landloom.cli.runs import ConnectionFile, DataFolder

if TYPE_CHECKING:
    from landloom.cli.client import ApiClient

cli = typer.Typer(
    name="orgs",
    help="Organizations of the platform, for its operator: who shares runs, files and users.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Which = Annotated[str, typer.Argument(metavar="ORG", help="An id, or a name.", show_default=False)]


@cli.command("list")
def list_organizations(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """List all organizations, oldest first."""
    from landloom.cli.table import print_table

    with connected(connection, data) as client:
        found = client.ask_list("/organizations")
    if as_json:
        print_json(found)
        return
    print_table(("ID", "NAME", "STATE", "USERS", "MADE", ""), map(_cells, found))


@cli.command("create")
def create_organization(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    admin: Annotated[str, typer.Option(help="Its administrator's name.", show_default=False)],
    email: Annotated[
        str, typer.Option(help="Its administrator's e-mail address.", show_default=False)
    ],
    days: Annotated[
        int, typer.Option(min=1, help="Days until the administrator's first key ends.")
    ] = KEY_DAYS,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """Make an organization and print its administrator's first key, this once.

    With that key they make further keys, and add people and services:

    \b
    key=$(landloom orgs create Farm --admin "Fay Low" --email fay@farm.example)
    """
    expires = key_end(days)
    body = {
        "name": name,
        "adminName": admin,
        "adminEmail": email,
        "expiresAt": expires.isoformat(),
    }
    with connected(connection, data) as client:
        made = client.ask("POST", "/organizations", body)
    typer.echo(made["key"])
    typer.echo(f"{name} is {made['id']}; the key ends on {expires:%Y-%m-%d}: keep it.", err=True)


@cli.command("suspend")
def suspend(which: Which, connection: ConnectionFile = None, data: DataFolder = None) -> None:
    """Suspend an organization: its keys open nothing until `resume`.

    Runs of it that wait fail when their turn comes; what runs goes on, without rights.
    """
    _set(which, "SUSPENDED", connection, data)


@cli.command("resume")
def resume(which: Which, connection: ConnectionFile = None, data: DataFolder = None) -> None:
    """Take a suspended organization back."""
    _set(which, "ACTIVE", connection, data)


@cli.command("close")
def close(
    which: Which,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """Close an organization for good: its keys open nothing any more. Runs and files stay."""
    with connected(connection, data) as client:
        found = _find(client, which)
        if not yes:
            typer.confirm(f"Close {found['name']} ({found['id']}) for good?", abort=True, err=True)
        client.ask("DELETE", f"/organizations/{found['id']}")
    typer.echo(f"{found['name']} is closed.", err=True)


def _set(which: str, state: str, connection: ConnectionFile, data: DataFolder) -> None:
    with connected(connection, data) as client:
        found = _find(client, which)
        client.ask("POST", f"/organizations/{found['id']}", {"state": state})
    typer.echo(f"{found['name']} is {state.lower()}.", err=True)


def _find(client: ApiClient, which: str) -> dict[str, Any]:
    return the_one(
        client.ask_list("/organizations"),
        which,
        ("id", "name"),
        none=(f"There is no organization {which!r}.", "List them with `landloom orgs list`."),
    )


def _cells(organization: dict[str, Any]) -> list[str]:
    return [
        organization["id"],
        organization["name"],
        organization["state"].lower(),
        str(organization["userCount"]),
        str(organization["createTime"])[:10],
        "runs the platform" if organization["operates"] else "",
    ]
