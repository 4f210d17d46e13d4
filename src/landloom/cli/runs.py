"""`landloom run`, `runs`, `logs` and `cancel`: job runs on a platform near or far."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from landloom.cli.asking import connected, print_json

if TYPE_CHECKING:
    from landloom.cli.client import ApiClient

EXIT_NOT_COMPLETED = 1
_INTERRUPTED = 130
_SHORTEST_NAME = 8

ConnectionFile = Annotated[
    Path | None,
    typer.Option("--connection", help="A connection.env file.", show_default="the environment"),
]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder of a local platform.", show_default=False),
]
RunId = Annotated[str, typer.Argument(metavar="ID", help="The run's id.", show_default=False)]


def run(
    script: Annotated[
        str,
        typer.Argument(
            metavar="SCRIPT", help="A local script, or the s3:// URI of one.", show_default=False
        ),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- ARGS]", help="What the script gets.", show_default=False),
    ] = None,
    *,
    name: Annotated[str | None, typer.Option(help="8 to 255 letters, digits, _ - .")] = None,
    runtime: Annotated[str | None, typer.Option(help="Its size: micro, tiny, small ...")] = None,
    timeout: Annotated[int | None, typer.Option(min=1, help="Seconds it may take.")] = None,
    region: Annotated[str | None, typer.Option(help="A region that the platform allows.")] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Print the id and return; do not follow.")
    ] = False,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """Upload a script, run it, follow its log, and exit as it ends.

    Exit status: 0 completed, 1 failed or cancelled, 130 after Ctrl-C, which cancels the run.
    """
    from landloom.cli.client import ApiClient
    from landloom.cli.connection import Connection
    from landloom.cli.upload import upload_script

    where = Connection.find(connection, data)
    run_name = name or _name_for(script)
    with ApiClient(where) as client:
        remote = script.strip().startswith("s3://")
        uri = script.strip() if remote else upload_script(client, where, Path(script), run_name)
        payload: dict[str, Any] = {
            "name": run_name,
            "runPython": {"uri": uri, "args": arguments or []},
            "environment": {"dependencies": []},
        }
        payload |= {"runtime": runtime} if runtime else {}
        payload |= {"timeoutSeconds": timeout} if timeout else {}
        run_id = str(client.create_run(payload, region)["id"])
        if detach:
            typer.echo(run_id)
            return
        _say(f"{run_name} is submitted as {run_id}; its script is {uri}.")
        raise typer.Exit(_follow(client, run_id))


def runs(
    status: Annotated[
        list[str] | None, typer.Option(help="Only runs with this status; may be repeated.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Only this name; * stands for anything.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print the runs as JSON.")] = False,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """List runs, newest first."""
    wanted = [each.upper() for each in status or []]
    with connected(connection, data) as client:
        found = client.runs(status=wanted, name=name, limit=limit)
    if as_json:
        print_json(found)
    elif found:
        _print_table(found)
    else:
        _say("There are no such runs.")


def logs(
    run_id: RunId,
    follow_it: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run ends.")
    ] = False,
    tail: Annotated[int | None, typer.Option(min=0, help="Only the last lines.")] = None,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """Print what a run has printed."""
    from landloom.cli.follow import follow

    with connected(connection, data) as client:
        client.run(run_id)  # an unknown id is an error, not an empty log
        cursor = _print_log(client, run_id, tail)
        if follow_it:
            follow(client, run_id, lambda _: None, cursor=cursor, cancel_on_interrupt=False)


def cancel(run_id: RunId, connection: ConnectionFile = None, data: DataFolder = None) -> None:
    """Cancel a run; one that has ended stays as it is."""
    from landloom.cli.follow import FINAL

    with connected(connection, data) as client:
        status = str(client.cancel(run_id)["status"])
    ended = f"{run_id} is {status}."
    typer.echo(ended if status in FINAL else f"{run_id} is being cancelled; it is {status} now.")


def _follow(client: ApiClient, run_id: str) -> int:
    from landloom.cli.follow import failure, follow

    try:
        ended = follow(client, run_id, _say)
    except KeyboardInterrupt:
        _say(f"No longer waiting; `landloom logs {run_id} -f` goes on.")
        return _INTERRUPTED
    if ended["status"] == "COMPLETED":
        return 0
    if ended["status"] == "CANCELLED":
        return _INTERRUPTED
    _say(failure(ended) or "It does not say why.")
    return EXIT_NOT_COMPLETED


def _print_log(client: ApiClient, run_id: str, tail: int | None) -> int:
    """Print the lines there are, or the last `tail` of them, and return how many there are."""
    kept: deque[str] = deque(maxlen=tail)
    cursor = 0
    while True:
        lines, cursor = client.logs(run_id, cursor)
        if tail is None:
            sys.stdout.write("".join(f"{line}\n" for line in lines))
        kept.extend(lines if tail is not None else ())
        if not lines:
            break
    sys.stdout.write("".join(f"{line}\n" for line in kept))
    sys.stdout.flush()
    return cursor


def _print_table(found: list[dict[str, Any]]) -> None:
    from landloom.cli.table import print_table

    rows = []
    for each in found:
        runtime = (each.get("payload") or {}).get("runtime") or ""
        rows.append(
            [each["id"], each["name"], each["status"], runtime, each["createTime"], _seconds(each)]
        )
    print_table(("ID", "NAME", "STATUS", "RUNTIME", "CREATED", "SECONDS"), rows)


def _seconds(found: dict[str, Any]) -> str:
    from datetime import datetime

    start, end = found.get("startTime"), found.get("completeTime")
    if not start or not end:
        return ""
    taken = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return f"{taken.total_seconds():.1f}"


def _name_for(script: str) -> str:
    """Return a run's name made of its script's and the time."""
    import re
    from datetime import UTC, datetime

    stem = re.sub(r"[^a-zA-Z0-9_.-]+", "-", Path(script.strip()).stem).strip("-") or "run"
    return f"{stem[:200]}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def _say(text: str) -> None:
    """Say something about the run where it does not mix with the run's output."""
    typer.echo(text, err=True)
