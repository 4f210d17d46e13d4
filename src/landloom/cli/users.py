"""`landloom users`: the people, services and roles of the organization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from landloom.cli.asking import KEY_DAYS, connected, key_end, print_json, the_one
from landloom.cli.runs import ConnectionFile, DataFolder

if TYPE_CHECKING:
    from landloom.cli.client import ApiClient

cli = typer.Typer(
    name="users",
    help="People and services of your organization: add them, give them roles, switch them off.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Who = Annotated[
    str,
    typer.Argument(metavar="WHO", help="An id, an e-mail address, or a name.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@cli.command("list")
def list_users(
    as_json: AsJson = False, connection: ConnectionFile = None, data: DataFolder = None
) -> None:
    """List people and services with their roles, oldest first."""
    from landloom.cli.table import print_table

    with connected(connection, data) as client:
        found = client.ask_list("/organization/users")
    if as_json:
        print_json(found)
        return
    print_table(("ID", "NAME", "E-MAIL", "KIND", "ROLES", "STATE"), map(_cells, found))


@cli.command("create")
def create_user(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    email: Annotated[
        str | None, typer.Option(help="A person's e-mail address.", show_default=False)
    ] = None,
    service: Annotated[
        bool, typer.Option("--service", help="It is a service: a DAG, a robot. It has no address.")
    ] = False,
    role: Annotated[
        list[str] | None,
        typer.Option(help="A role; may be repeated.", show_default="User"),
    ] = None,
    key: Annotated[
        bool, typer.Option("--key", help="Make a key for it too, and print that, this once.")
    ] = False,
    days: Annotated[int, typer.Option(min=1, help="Days until that key ends.")] = KEY_DAYS,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """Add a person or a service; for administrators.

    Standard output is the id, or with --key the key, so that a shell can keep it:

    \b
    landloom users create "Ada Low" --email ada@example.org --role Admin
    export WHEROBOTS_API_KEY=$(landloom users create airflow --service --key)
    """
    body = {"name": name, "email": email, "kind": "SERVICE" if service else "HUMAN"}
    with connected(connection, data) as client:
        made = client.ask("POST", "/organization/users", body | {"roles": role or ["User"]})
        if not key:
            typer.echo(made["id"])
            return
        expires = key_end(days)
        shown = client.create_key(name[:50], expires.isoformat(), made["id"])
    typer.echo(shown["key"])
    typer.echo(f"{name} is {made['id']}; the key ends on {expires:%Y-%m-%d}: keep it.", err=True)


@cli.command("role")
def give_roles(
    who: Who,
    roles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ROLE]...", help="All of its roles from now on; none is no right."),
    ] = None,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """Give a person or a service these roles instead of those it has; for administrators."""
    made = _change(who, {"roles": roles or []}, connection, data)
    typer.echo(f"{made['name']}: {_roles(made) or 'no role'}.", err=True)


@cli.command("disable")
def disable_user(who: Who, connection: ConnectionFile = None, data: DataFolder = None) -> None:
    """Switch a person or a service off: its keys open nothing until `enable`.

    What it has running goes on, without rights: end that with `landloom cancel`.
    """
    made = _change(who, {"disabled": True}, connection, data)
    typer.echo(f"{made['name']} is switched off.", err=True)


@cli.command("enable")
def enable_user(who: Who, connection: ConnectionFile = None, data: DataFolder = None) -> None:
    """Switch a person or a service on again."""
    made = _change(who, {"disabled": False}, connection, data)
    typer.echo(f"{made['name']} is switched on.", err=True)


@cli.command("remove")
def remove_user(who: Who, connection: ConnectionFile = None, data: DataFolder = None) -> None:
    """Remove a person or a service and revoke its keys for good. Its runs and files stay."""
    with connected(connection, data) as client:
        found = _find(client, who)
        client.ask("DELETE", f"/organization/users/{found['id']}")
    typer.echo(f"{found['name']} is removed.", err=True)


@cli.command("roles")
def list_roles(
    as_json: AsJson = False, connection: ConnectionFile = None, data: DataFolder = None
) -> None:
    """List the organization's roles and what they allow."""
    from landloom.cli.table import print_table

    with connected(connection, data) as client:
        found = client.ask_list("/organization/roles")
    if as_json:
        print_json(found)
        return
    rows = [
        (role["name"], policy["effect"], policy["action"], policy["locator"])
        for role in found
        for policy in role["policies"] or [{"effect": "", "action": "", "locator": ""}]
    ]
    print_table(("ROLE", "EFFECT", "ACTION", "WHERE"), rows)


@cli.command("set-role")
def set_role(
    name: Annotated[str, typer.Argument(help="The role's name; Admin and User are built in.")],
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="ACTION[@WHERE]", help="Allow this; may be repeated."),
    ] = None,
    deny: Annotated[
        list[str] | None,
        typer.Option(metavar="ACTION[@WHERE]", help="Deny this, whatever allows it."),
    ] = None,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """Make a role, or give it other policies; for administrators.

    An action is such as runs:create, runs:read, runs:cancel, workflows:*, apikeys:*, usage:read,
    organization:read; WHERE is a path of the API without its first slash. * is any text in both.

    \b
    landloom users set-role Watcher --allow 'runs:read' --allow 'usage:read' \\
        --deny 'runs:read@runs/*/logs'
    """
    policies = [_policy(text, "ALLOW") for text in allow or ()]
    policies += [_policy(text, "DENY") for text in deny or ()]
    with connected(connection, data) as client:
        client.ask("PUT", f"/organization/roles/{quote(name, safe='')}", {"policies": policies})
    typer.echo(f"The role {name} has {len(policies)} policies.", err=True)


@cli.command("remove-role")
def remove_role(
    name: Annotated[str, typer.Argument(help="The role's name.")],
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """Remove a role; whoever has it loses what it allows."""
    with connected(connection, data) as client:
        client.ask("DELETE", f"/organization/roles/{quote(name, safe='')}")
    typer.echo(f"The role {name} is removed.", err=True)


def _change(
    who: str, change: dict[str, Any], connection: ConnectionFile, data: DataFolder
) -> dict[str, Any]:
    with connected(connection, data) as client:
        return client.ask("POST", f"/organization/users/{_find(client, who)['id']}", change)


def _find(client: ApiClient, who: str) -> dict[str, Any]:
    """Return the one principal by this id, address or name."""
    return the_one(
        client.ask_list("/organization/users"),
        who,
        ("id", "email", "name"),
        none=(f"There is nobody {who!r}.", "List them with `landloom users list`."),
        alike=str.casefold,
    )


def _policy(text: str, effect: str) -> dict[str, str]:
    action, _, locator = text.partition("@")
    return {"action": action, "locator": locator or "*", "effect": effect}


def _cells(user: dict[str, Any]) -> list[str]:
    kind = "service" if user["kind"] == "SERVICE" else "person"
    state = "off" if user["disabledAt"] else "on"
    return [
        user["id"], user["name"] or "", user["email"] or "", kind, _roles(user), state,
    ]  # fmt: skip


def _roles(user: dict[str, Any]) -> str:
    return ", ".join(role["name"] for role in user["roles"])
