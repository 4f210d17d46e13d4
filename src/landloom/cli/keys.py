"""`landloom keys`: API keys of the caller, or of the whole organization."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from landloom.cli.asking import KEY_DAYS, connected, key_end, print_json
from landloom.cli.runs import ConnectionFile, DataFolder

cli = typer.Typer(
    name="keys",
    help="API keys: list them, make one, revoke one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id.", show_default=False)]


@cli.command("list")
def list_keys(
    everybody: Annotated[
        bool, typer.Option("--all", help="Of the whole organization; for administrators.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the keys as JSON.")] = False,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """List keys, newest first. A key itself is never shown again."""
    from landloom.cli.table import print_table

    with connected(connection, data) as client:
        found = client.keys(everybody=everybody)
    if as_json:
        print_json(found)
        return
    titles = ("ID", "NAME", "KEY", "STATE", "EXPIRES", "OWNER")
    print_table(titles, [_cells(key) for key in found])


@cli.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What it is for: 1 to 50 characters.")],
    days: Annotated[int, typer.Option(min=1, help="Days until it ends.")] = KEY_DAYS,
    owner: Annotated[
        str | None,
        typer.Option(help="Id of the principal it acts for; for administrators. Else yourself."),
    ] = None,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """Make a key and print it, this once.

    The key alone goes to standard output, so that it can be kept by a shell:
    export WHEROBOTS_API_KEY=$(landloom keys create my-dag)
    """
    expires = key_end(days)
    with connected(connection, data) as client:
        made = client.create_key(name, expires.isoformat(), owner)
    typer.echo(made["key"])
    typer.echo(
        f"Key {made['id']} ends on {expires:%Y-%m-%d}. It is shown this once: keep it.", err=True
    )


@cli.command("revoke")
def revoke_key(key_id: KeyId, connection: ConnectionFile = None, data: DataFolder = None) -> None:
    """Revoke a key: it opens nothing from now on."""
    with connected(connection, data) as client:
        client.revoke_key(key_id)
    typer.echo(f"Key {key_id} is revoked.", err=True)


def _cells(key: dict[str, Any]) -> list[str]:
    state = "revoked" if key["revoked"] else "valid" if key["valid"] else "expired"
    owner = key.get("ownedBy") or {}
    expires = str(key["expiresAt"])[:10]
    never = expires.startswith("9999")
    return [
        key["id"],
        key["name"],
        key["preview"],
        state,
        "never" if never else expires,
        owner.get("email") or owner.get("name") or owner.get("id") or "",
    ]
