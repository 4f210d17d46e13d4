"""The plan of a dry run as a table."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from landloom.wire.plan import Plan, PlannedMosaic

LOG_COLUMNS = 110
"""Width of the table where there is no terminal to ask."""

_MINUTE, _HOUR = 60, 3600


def print_plan(plan: Plan, console: Console | None = None) -> None:
    """Print what a workflow would read, run and make, and what the figures rest on."""
    shown = console or Console(highlight=False)
    if not shown.is_terminal:
        shown = Console(file=shown.file, width=LOG_COLUMNS, highlight=False)
    if plan.mosaics:
        shown.print(_table(plan))
    if plan.model:
        shown.print(f"Model: {plan.model}, {plan.patches:,} patches", markup=False, soft_wrap=True)
    time = "" if plan.seconds is None else f", {duration(plan.seconds)} or so"
    shown.print(f"In all: {size(plan.bytes_to_read)} to read{time}. Nothing was run.", markup=False)
    for note in plan.notes:
        shown.print(f"  {note}", style="dim", markup=False, soft_wrap=True)


def _table(plan: Plan) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "CRS", "rows x columns", "pixel", "tiles", "scenes", "to read", "time"):
        right = heading in {"rows x columns", "pixel", "tiles", "to read", "time"}
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading != "scenes")
    for number, mosaic in enumerate(plan.mosaics):
        table.add_row(str(number), *_cells(mosaic))
    return table


def _cells(mosaic: PlannedMosaic) -> list[str]:
    height, width = mosaic.shape_yx
    return [
        mosaic.crs,
        f"{height:,} x {width:,}",
        f"{mosaic.resolution:g}",
        f"{mosaic.tiles:,}",
        "\n".join(f"{count:,} {name}" for name, count in mosaic.scenes.items()),
        size(mosaic.bytes_to_read),
        "" if mosaic.seconds is None else duration(mosaic.seconds),
    ]


def size(count: float) -> str:
    """Return a number of bytes as people say it."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004 - SI prefixes
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h"
