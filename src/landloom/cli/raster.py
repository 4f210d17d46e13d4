"""`landloom raster`: mosaics, predictions and polygons on this machine, without a server."""

from __future__ import annotations

from typing import Annotated

import typer

from landloom.cli.engine import HAND_ON, hand_on

__all__ = ["HAND_ON", "raster"]


def raster(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND [ARGUMENTS]", show_default=False)
    ] = None,
) -> None:
    """Mosaics, predictions and polygons on this machine, without a server."""
    hand_on("landloom.raster", arguments or [])
