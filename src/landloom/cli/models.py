"""`landloom models`: handed on to the engine, in a process of its own that may import torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landloom.cli.engine import HAND_ON, hand_on

cli = typer.Typer(
    help="Model files and recipes: add, list, check.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Arguments = Annotated[list[str] | None, typer.Argument(metavar="ARGUMENTS", show_default=False)]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder of the platform whose models they are."),
]


@cli.command("add", context_settings=HAND_ON, add_help_option=False)
def add(arguments: Arguments = None, data: DataFolder = None) -> None:
    """Register a model file, so that recipes that name its URL find it without a network."""
    _hand_on("add", arguments, data)


@cli.command("list", context_settings=HAND_ON, add_help_option=False)
def list_models(arguments: Arguments = None, data: DataFolder = None) -> None:
    """List recipes and registered models, and what about them nobody has verified."""
    _hand_on("list", arguments, data)


@cli.command("check", context_settings=HAND_ON, add_help_option=False)
def check(arguments: Arguments = None, data: DataFolder = None) -> None:
    """Load a model file and say what it takes and gives."""
    _hand_on("check", arguments, data)


def _hand_on(verb: str, arguments: list[str] | None, data: Path | None) -> None:
    hand_on("landloom.raster.models", [verb, *(arguments or [])], data)
