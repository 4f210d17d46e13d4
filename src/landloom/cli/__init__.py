"""The command line: thin, and quick to start, since every command imports what it needs itself."""

from __future__ import annotations


def app() -> None:
    """Run the command line; the entry point `landloom`."""
    from landloom.cli.main import run

    run()
