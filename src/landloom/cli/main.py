"""All commands by name, and the one place where errors become a sentence and an exit code."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from landloom.cli import keys, models, notebook, orgs, platform, raster, runs, storage, users
from landloom.errors import LandloomError, SetupProblem, sentence

EXIT_FAILED = 1
EXIT_NOT_READY = 2
"""The machine, the folder or the command line is not ready for what was asked."""

cli = typer.Typer(
    name="landloom",
    help="Earth-imagery AI on your own machines: job runs, mosaics, models, polygons.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
cli.command("up")(platform.up)
cli.command("down")(platform.down)
cli.command("doctor")(platform.doctor)
cli.command("run")(runs.run)
cli.command("runs")(runs.runs)
cli.command("logs")(runs.logs)
cli.command("cancel")(runs.cancel)
cli.command("notebook")(notebook.notebook)
cli.add_typer(keys.cli, name="keys")
cli.add_typer(storage.cli, name="storage")
cli.add_typer(users.cli, name="users")
cli.add_typer(orgs.cli, name="orgs")
cli.add_typer(models.cli, name="models")
cli.command("raster", context_settings=raster.HAND_ON, add_help_option=False)(raster.raster)


@cli.command("demo", context_settings={"ignore_unknown_options": True}, add_help_option=False)
def demo(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Start a platform, run the sample job end to end, draw the picture."""
    from landloom.cli.demo import main

    raise typer.Exit(main(arguments or []))


@cli.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False,
) -> None:
    """Earth-imagery AI on your own machines: job runs, mosaics, models, polygons."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("landloom"))
        raise typer.Exit


def run() -> None:
    """Run the command line on this process's arguments, then exit."""
    try:
        cli()
    except LandloomError as error:
        print(sentence(error), file=sys.stderr)
        sys.exit(EXIT_NOT_READY if isinstance(error, SetupProblem) else EXIT_FAILED)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "landloom":
            raise
        print(
            f"landloom: this command needs {package}, which is not installed: "
            "pip install 'landloom[all]'.",
            file=sys.stderr,
        )
        sys.exit(EXIT_NOT_READY)
