"""`landloom storage`: files and folders, for people without S3 tools."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from landloom.cli import integrations
from landloom.cli.asking import connected, print_json
from landloom.cli.runs import ConnectionFile, DataFolder

if TYPE_CHECKING:
    from landloom.cli.drive import Drive, Remote
    from landloom.cli.transfer import Job, Transfer

cli = typer.Typer(
    name="storage",
    help=(
        "Files in the platform's storage: list, copy, remove, share by URL.\n\n"
        "my:PATH is in your own folder (USER_S3_PATH), shared:PATH in your organization's, and"
        " s3://BUCKET/KEY anywhere that you reach, integrations too."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)

cli.add_typer(integrations.cli, name="integrations")

Place = Annotated[
    str, typer.Argument(metavar="PLACE", help="my:PATH, shared:PATH or s3://BUCKET/KEY.")
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Folders with all that is in them.")
]


def _help(sentence: str, *examples: str) -> str:
    """Return a command's help; the mark keeps its examples a line each."""
    return "\n".join([sentence, "", "\b", *examples])


_LS_HELP = _help(
    "List a folder: size, time of the last change, name.",
    "landloom storage ls",
    "landloom storage ls my:scripts/",
    "landloom storage ls -r shared:",
)
_CP_HELP = _help(
    "Copy files to the storage, or from it.",
    "landloom storage cp field.tif my:data/",
    "landloom storage cp -r results/ shared:2024/",
    "landloom storage cp my:data/field.tif .",
)
_RM_HELP = _help(
    "Remove files; with -r folders too, with all that is in them.",
    "landloom storage rm my:data/field.tif",
    "landloom storage rm -r my:data/",
)
_URL_HELP = _help(
    "Print a URL by which anybody has one file for an hour, without a key.",
    'curl -o field.tif "$(landloom storage url my:data/field.tif)"',
    'curl -T field.tif "$(landloom storage url --upload my:data/field.tif)"',
)


@cli.command("ls", help=_LS_HELP)
def list_files(
    place: Place = "my:",
    recursive: Recursive = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the entries as JSON.")] = False,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """List a folder: size, time of the last change, name."""
    from landloom.cli.table import print_table

    with _drive(connection, data) as drive:
        found = drive.find(place)
        if recursive:
            entries = [
                {**entry, "name": file.path[len(found.as_folder().path) :]}
                for file, entry in drive.files(found)
            ]
        else:
            entries = list(drive.entries(found))
    if as_json:
        print_json(entries)
    elif entries:
        print_table(("SIZE", "CHANGED", "NAME"), map(_cells, entries))
    else:
        typer.echo(f"{found.shown} is empty.", err=True)


@cli.command("cp", help=_CP_HELP)
def copy(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Files; one side is remote.")
    ],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A name, or a folder.")],
    recursive: Recursive = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no bars.")] = False,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """Copy files to the storage, or from it."""
    from landloom.cli.drive import is_remote
    from landloom.errors import InvalidInput

    upload = is_remote(target)
    if any(is_remote(each) == upload for each in sources):
        raise InvalidInput(
            "One side of a copy is in the storage, the other on this machine.",
            suggestion="Name the one in the storage my:PATH, shared:PATH or s3://BUCKET/KEY.",
        )
    with _drive(connection, data) as drive, _transfer(drive, connection, data, quiet) as transfer:
        if upload:
            jobs = _uploads(drive, sources, target, recursive=recursive)
            transfer.upload(jobs)
        else:
            jobs = _downloads(drive, sources, Path(target), recursive=recursive)
            transfer.download(jobs)
    typer.echo(f"Copied {len(jobs)} {'file' if len(jobs) == 1 else 'files'}.", err=True)


@cli.command("rm", help=_RM_HELP)
def remove(
    places: Annotated[
        list[str],
        typer.Argument(metavar="PLACE...", help="my:PATH, shared:PATH or s3://BUCKET/KEY."),
    ],
    recursive: Recursive = False,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """Remove files; with -r folders too, with all that is in them."""
    from landloom.errors import InvalidInput

    with _drive(connection, data) as drive:
        found = [drive.find(place) for place in places]
        for each in found:
            if each.is_folder and not recursive:
                raise InvalidInput(
                    f"{each.shown} is a folder.", suggestion="Remove it with -r, and all in it."
                )
        for each in found:
            folder = recursive and drive.is_folder(each)
            drive.delete(each.as_folder() if folder else each)
            typer.echo(f"Removed {each.shown}.", err=True)


@cli.command("url", help=_URL_HELP)
def share(
    place: Place,
    upload: Annotated[bool, typer.Option("--upload", help="To PUT a file to, not to GET.")] = False,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """Print a URL by which anybody has one file for an hour, without a key."""
    with _drive(connection, data) as drive:
        found = drive.find(place)
        typer.echo(drive.upload_url(found) if upload else drive.download_url(found))


@cli.command("usage")
def show_usage(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    connection: ConnectionFile = None,
    data: DataFolder = None,
) -> None:
    """Show how much lies where, and how much may."""
    from landloom.cli.table import print_table

    with _drive(connection, data) as drive:
        found = drive.usage()
    if as_json:
        print_json(found)
        return
    rows = []
    for prefix in found["prefixes"]:
        rows.append([_size(prefix["bytes"]), str(prefix["objects"]), prefix["path"]])
        rows += [
            [_size(each["bytes"]), str(each["objects"]), f"  {each['name']}/"]
            for each in prefix["folders"]
        ]
    print_table(("SIZE", "FILES", "PLACE"), rows)
    quota = found["quotaBytes"]
    bound = "no quota" if quota is None else f"a quota of {_size(quota)}"
    typer.echo(f"{_size(found['bytes'])} are your own, with {bound}.", err=True)


@contextlib.contextmanager
def _drive(connection: ConnectionFile, data: DataFolder) -> Iterator[Drive]:
    from landloom.cli.drive import Drive

    with connected(connection, data) as client:
        yield Drive(client)


def _transfer(
    drive: Drive,
    connection: ConnectionFile,
    data: DataFolder,
    quiet: bool,
) -> Transfer:
    from landloom.cli.client import trust
    from landloom.cli.connection import Connection
    from landloom.cli.transfer import Transfer

    return Transfer(drive, trust(Connection.find(connection, data)), quiet=quiet)


def _uploads(drive: Drive, sources: list[str], target: str, *, recursive: bool) -> list[Job]:
    from landloom.cli.transfer import Job
    from landloom.errors import InvalidInput, SetupProblem

    place = drive.find(target)
    into_folder = place.is_folder or len(sources) > 1
    jobs = []
    for source in map(Path, sources):
        if source.is_dir():
            if not recursive:
                raise InvalidInput(f"{source} is a folder.", suggestion="Copy it with -r.")
            base = place.as_folder()
            jobs += [
                Job(file, base.below(file.relative_to(source).as_posix()), file.stat().st_size)
                for file in sorted(source.rglob("*"))
                if file.is_file()
            ]
        elif source.is_file():
            remote = place.as_folder().below(source.name) if into_folder else place
            jobs.append(Job(source, remote, source.stat().st_size))
        else:
            raise SetupProblem(f"There is no file {source}.", suggestion="Name one that is there.")
    return _some(jobs, sources)


def _downloads(drive: Drive, sources: list[str], target: Path, *, recursive: bool) -> list[Job]:
    from landloom.cli.transfer import Job
    from landloom.errors import InvalidInput

    jobs = []
    for source in map(drive.find, sources):
        if recursive and drive.is_folder(source):
            base = source.as_folder()
            jobs += [
                Job(_inside(target, file, base), file, int(entry["size"]))
                for file, entry in drive.files(base)
            ]
        elif source.is_folder:
            raise InvalidInput(f"{source.shown} is a folder.", suggestion="Copy it with -r.")
        else:
            into_folder = target.is_dir() or len(sources) > 1
            local = target / source.name if into_folder else target
            jobs.append(Job(local, source))
    return _some(jobs, sources)


def _inside(target: Path, file: Remote, base: Remote) -> Path:
    """Return where a file goes on this machine: always below `target`, whatever it is called."""
    from landloom.errors import InvalidInput

    local = target.joinpath(*file.path[len(base.path) :].split("/"))
    if ".." in local.relative_to(target).parts:
        raise InvalidInput(f"{file.shown} cannot be a file on this machine.")
    return local


def _some(jobs: list[Job], sources: list[str]) -> list[Job]:
    from landloom.errors import NotFound

    if not jobs:
        raise NotFound(f"There is no file in {', '.join(sources)}.")
    return jobs


def _cells(entry: dict[str, Any]) -> list[str]:
    if entry["type"] == "FOLDER":
        return ["", "", f"{entry['name']}/"]
    changed = str(entry.get("lastModified") or "")[:19].replace("T", " ")
    return [_size(int(entry["size"])), changed, entry["name"]]


def _size(count: int) -> str:
    """Return a number of bytes as people say it."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004 - a kilo
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
