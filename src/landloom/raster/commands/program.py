"""The commands by name, and the one place where errors become a sentence and an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import typer

from landloom.errors import Cancelled, InvalidInput, LandloomError, sentence
from landloom.raster.commands import looking, making, predicting

EXIT_FAILED = 1
EXIT_WRONG = 2
"""What was typed cannot be done by anybody."""
EXIT_CANCELLED = 130
"""As shells say it of Ctrl-C."""

HELP = """Mosaics, predictions and polygons on this machine, without a server.

\b
  landloom raster mosaic --aoi county.geojson --dataset S2_MED_HARVEST \\
      --start 2024-01-01 --end 2025-01-01
  landloom raster predict --recipe FTW --aoi county.geojson \\
      --start 2024-01-01 --end 2025-01-01
  landloom raster vectorize rasterflow/.../1a2b3c.zarr --feature field
  landloom raster inspect rasterflow/.../1a2b3c.zarr

Outputs go to ./rasterflow, or to USER_S3_PATH if it is set, or to --output. A command that was
interrupted and is given again goes on where it was.
"""

cli = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
COMMANDS: tuple[Callable[..., None], ...] = (
    making.mosaic,
    predicting.predict,
    making.vectorize,
    making.multiscales,
    making.plan,
    looking.inspect,
    looking.rerun,
)
for command in COMMANDS:
    cli.command()(command)


def main() -> None:
    """Run the command line; an error on purpose ends with its sentence, not a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        cli(prog_name="landloom raster")
    except Cancelled as cancelled:
        typer.echo(f"{sentence(cancelled)} Give the command again to go on.", err=True)
        sys.exit(EXIT_CANCELLED)
    except LandloomError as error:
        typer.echo(sentence(error), err=True)
        sys.exit(EXIT_WRONG if isinstance(error, InvalidInput) else EXIT_FAILED)
