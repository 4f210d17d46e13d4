"""Tables on a terminal or in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 1000
"""A pipe has no width, and a cut id is of no use."""


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below their titles; nothing is cut."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, no_wrap=True)
    for row in rows:
        # Text, not markup: a name is nobody's formatting.
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    Console(width=None if console.is_terminal else _PIPE_WIDTH).print(table)
