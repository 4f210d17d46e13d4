"""`landloom storage integrations`: further S3 locations of an organization."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from landloom.cli.asking import connected, print_json, the_one
from landloom.cli.runs import ConnectionFile, DataFolder

if TYPE_CHECKING:
    from landloom.cli.client import ApiClient

cli = typer.Typer(
    name="integrations",
    help="S3 locations elsewhere that runs and workflows may use, each with keys of its own.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Which = Annotated[str, typer.Argument(metavar="NAME", help="A name, or an id.")]

_RIGHTS = ("list", "get", "put", "delete")


@cli.command("list")
def list_integrations(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """List the organization's integrations, oldest first."""
    from landloom.cli.table import print_table

    with connected(connection, data) as client:
        found = _all(client)
    if as_json:
        print_json(found)
        return
    print_table(
        ("ID", "NAME", "PATH", "REGION", "WRITES"),
        ([each["id"], each["name"], each["path"], each["region"], _writes(each)] for each in found),
    )


@cli.command("add")
def add_integration(  # noqa: PLR0917 - the command line's options
    name: Annotated[str, typer.Argument(help="What to call it; runs use it as an AWS profile.")],
    path: Annotated[str, typer.Argument(help="s3://bucket or s3://bucket/prefix.")],
    endpoint: Annotated[
        str | None, typer.Option(help="URL of the store, without the bucket; none is AWS.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="Region that requests are signed for.")] = None,
    access_key: Annotated[
        str | None, typer.Option(help="Access key id; none, and no role, is a public bucket.")
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(help="File with the secret key; without it the key is asked for."),
    ] = None,
    role: Annotated[str | None, typer.Option(help="ARN of a role to assume.")] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Never write to it.")] = False,
    virtual_host: Annotated[
        bool, typer.Option("--virtual-host", help="The store wants buckets in the host's name.")
    ] = False,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """Register a location, and tell what may be done there.

    \b
    landloom storage integrations add partner s3://fields/2024 \\
        --endpoint https://s3.partner.example --access-key AKIA...
    landloom storage integrations add open s3://sentinel-cogs --region us-west-2
    """
    body: dict[str, Any] = {
        "name": name,
        "path": path,
        "endpointUrl": endpoint,
        "region": region,
        "roleArn": role,
        "accessType": "READ" if read_only else "READ_WRITE",
        "addressingStyle": "virtual" if virtual_host else None,
    }
    if access_key is not None:
        body |= {"accessKeyId": access_key, "secretAccessKey": _secret(secret_file)}
    with connected(connection, data) as client:
        made = client.ask("POST", "/storage", body)
        typer.echo(made["id"])
        _tell(name, client.ask("POST", f"/storage/{made['id']}/access"))


@cli.command("test")
def probe_integration(
    name: Which, connection: ConnectionFile = None, data: DataFolder = None
) -> None:
    """Tell what may be done at an integration; exit with 1 where nothing may."""
    with connected(connection, data) as client:
        found = client.ask("POST", f"/storage/{_find(client, name)['id']}/access")
    _tell(name, found)
    if not any(found[f"{right}Access"] for right in _RIGHTS):
        raise typer.Exit(1)


@cli.command("remove")
def remove_integration(
    name: Which, connection: ConnectionFile = None, data: DataFolder = None
) -> None:
    """Forget an integration and its keys; what lies there stays."""
    with connected(connection, data) as client:
        client.ask("DELETE", f"/storage/{_find(client, name)['id']}")
    typer.echo(f"Forgot {name}.", err=True)


def _secret(file: Path | None) -> str:
    """Return the secret key in a file, or ask for it.

    Raises:
        SetupProblem: The file cannot be read.
    """
    from landloom.errors import SetupProblem

    if file is None:
        return str(typer.prompt("Secret access key", hide_input=True, err=True))
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise SetupProblem(
            f"The secret key cannot be read from {file}: {error}.",
            suggestion="Name a readable file, or leave --secret-file away to be asked.",
        ) from error


def _all(client: ApiClient) -> list[dict[str, Any]]:
    return [each for each in client.ask_list("/storage") if each["type"] == "INTEGRATION"]


def _find(client: ApiClient, name: str) -> dict[str, Any]:
    return the_one(
        _all(client),
        name,
        ("id", "name"),
        none=(
            f"There is no storage integration {name!r}.",
            "List them with `landloom storage integrations list`.",
        ),
    )


def _tell(name: str, found: dict[str, Any]) -> None:
    rights = [right for right in _RIGHTS if found[f"{right}Access"]]
    typer.echo(f"{name}: {', '.join(rights) or 'nothing'} possible.", err=True)
    for problem in found["problems"]:
        typer.echo(f"  {problem}", err=True)


def _writes(integration: dict[str, Any]) -> str:
    return "no" if integration["readOnly"] else "yes"
