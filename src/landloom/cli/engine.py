"""Commands of the engine, run in a process of their own that may import torch and rasterio."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import typer

HAND_ON: Final = {"ignore_unknown_options": True}
"""Settings of a command whose arguments are the engine's to read, `--help` among them."""

ENGINE_VARIABLES: Final = ("LANDLOOM_MODELS", "LANDLOOM_CATALOG")


def hand_on(module: str, arguments: Sequence[str], data: Path | None = None) -> None:
    """Run `python -m MODULE ARGUMENTS` and end with its exit code.

    Args:
        module: The engine's program.
        arguments: What the user typed.
        data: Data folder of a platform whose models and catalogue are meant.
    """
    environment = dict(os.environ)
    if data is not None:
        from landloom.cli.connection import Connection

        variables = Connection.find(data=data).variables
        environment |= {name: variables[name] for name in ENGINE_VARIABLES if name in variables}
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, env=environment) as engine:  # noqa: S603 - our own module
        while engine.returncode is None:
            # Ctrl-C reaches both processes: the engine ends its work, and this one waits for that.
            with suppress(KeyboardInterrupt):
                engine.wait()
    raise typer.Exit(engine.returncode)
