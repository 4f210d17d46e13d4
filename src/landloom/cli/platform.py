"""`landloom up`, `down` and `doctor`: the platform on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landloom.errors import LandloomError, SetupProblem

if TYPE_CHECKING:
    from landloom.stack.announcement import Announcement, UpOptions

DataFolder = Annotated[
    Path, typer.Option("--data", help="The folder that holds everything.", show_default=False)
]


def up(
    data: DataFolder,
    host: Annotated[str, typer.Option(help="Address the API listens on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of the API; chosen once if not given."),
    ] = None,
    s3_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of the object store; chosen once if not given."),
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Serve the API over https.")] = False,
    tls_name: Annotated[
        list[str] | None,
        typer.Option(help="A further host name for the certificate; may be repeated."),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once it is up; end it with `landloom down`.")
    ] = False,
    ready_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Start the platform: API, object store, database, job runner."""
    from landloom.stack.announcement import UpOptions
    from landloom.stack.detach import answer_problem, answer_ready, start_detached

    if tls_name and not tls:
        raise SetupProblem("--tls-name needs --tls.")
    options = UpOptions(data, host, port, s3_port, tls, tuple(tls_name or ()))
    if detach:
        _print_up(start_detached(data, _arguments(options)), detached=True)
        return
    from landloom.stack.up import run as run_platform  # slow: not for the one that only waits

    if ready_fd is None:
        run_platform(options, lambda announcement: _print_up(announcement, detached=False))
        typer.echo(_ENDED)
        return
    try:
        run_platform(options, lambda announcement: answer_ready(ready_fd, announcement))
    except LandloomError as problem:
        answer_problem(ready_fd, problem)
        raise


def down(
    data: DataFolder,
    keep_jobs: Annotated[
        bool, typer.Option("--keep-jobs", help="Let running jobs go on under their runners.")
    ] = False,
) -> None:
    """End the platform: server, running jobs and object store."""
    from landloom.stack.down import down as end_platform

    ended = end_platform(data, keep_jobs=keep_jobs)
    if not (ended.server or ended.store or ended.workloads or ended.left_running):
        typer.echo("Nothing was running.")
        return
    parts = [name for name, was in (("server", ended.server), ("store", ended.store)) if was]
    if ended.workloads:
        parts.append(f"{ended.workloads} running job(s)")
    typer.echo(f"Ended: {', '.join(parts) or 'nothing'}.")
    if ended.left_running:
        typer.echo(f"{ended.left_running} job(s) go on under their runners.")


def doctor(
    data: Annotated[
        Path | None, typer.Option("--data", help="Check for this folder too.", show_default=False)
    ] = None,
) -> None:
    """Check whether this machine is ready for a platform."""
    from landloom.stack.doctor import examine

    findings = examine(data)
    for finding in findings:
        mark = "ok  " if finding.ok else "FAIL"
        typer.echo(f"{mark} {finding.name}: {finding.detail}")
        if not finding.ok:
            typer.echo(f"     {finding.way_out}")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


_ENDED = "Ended. Running jobs go on under their runners; the next `landloom up` adopts them."


def _arguments(options: UpOptions) -> list[str]:
    """Return `options` as a command line, for the process that does the work."""
    arguments = [f"--data={options.data}", f"--host={options.host}"]
    if options.port is not None:
        arguments.append(f"--port={options.port}")
    if options.s3_port is not None:
        arguments.append(f"--s3-port={options.s3_port}")
    if options.tls:
        arguments.append("--tls")
    return arguments + [f"--tls-name={name}" for name in options.tls_names]


def _print_up(announcement: Announcement, *, detached: bool) -> None:
    lines = [
        "Landloom is up.",
        f"  API         {announcement.api_url}",
        f"  S3          {announcement.s3_url}",
        f"  data        {announcement.data}",
        f"  connection  set -a; . '{announcement.connection_file}'; set +a",
    ]
    if announcement.ca_file:
        lines.append(f"  authority   {announcement.ca_file} (the connection names it already)")
    if announcement.exposed:
        lines.append("Other machines may reach the API without TLS: keys travel in the clear.")
    if announcement.store == "adopted":
        lines.append("  The object store of an earlier start was still running and was adopted.")
    if announcement.store == "external":
        lines.append("  The object store is somebody else's; it is neither started nor ended here.")
    if announcement.scoping:
        lines += [
            f"The object store gives all users the same keys ({announcement.scoping}).",
            "A second user is refused unless LANDLOOM_TRUST_USERS=true says that all may see all.",
        ]
    if announcement.isolation:
        lines += [
            f"Users are not isolated from one another ({announcement.isolation}).",
            "A second user is refused unless LANDLOOM_TRUST_USERS=true says that all may see all.",
        ]
    end = f"`landloom down --data '{announcement.data}'` ends it."
    lines.append(end if detached else "Ctrl-C ends it; running jobs go on under their runners.")
    typer.echo("\n".join(lines))
