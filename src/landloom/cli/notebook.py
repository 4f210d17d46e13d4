"""`landloom notebook`: JupyterLab with the platform's storage and API built in."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from landloom.cli.runs import ConnectionFile, DataFolder


def notebook(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the notebooks.", show_default="here")
    ] = Path(),
    connection: ConnectionFile = None,
    data: DataFolder = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to listen on.", show_default=False)
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
) -> None:
    """Start JupyterLab, its kernels connected as a job is: USER_S3_PATH, keys, clients."""
    from landloom.cli.connection import Connection
    from landloom.stack.notebook import prepare_notebook

    found = Connection.find(connection, data)
    made = prepare_notebook(
        found.variables, folder=folder.absolute(), source=found.source, port=port, browser=browser
    )
    sys.stdout.flush()
    os.execve(made.argv[0], made.argv, dict(made.env))  # noqa: S606 - our own interpreter
