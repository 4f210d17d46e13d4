"""JupyterLab with a platform's connection built in: what its kernels see is what a job sees.

Kernels inherit the server's environment, so the variables of `connection.env` and the start-up hook
of jobs are enough for cells that were written for the hosted service.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from landloom import jobsite
from landloom.errors import SetupProblem

_QUIET = (
    # Nothing is asked of the internet unless the user asks for it.
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)
_NEEDED = ("USER_S3_PATH", "LANDLOOM_URL", "WHEROBOTS_API_KEY")


@dataclass(frozen=True, slots=True)
class Notebook:
    """A JupyterLab to be started."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)


def prepare_notebook(
    connection: Mapping[str, str],
    *,
    folder: Path,
    source: str,
    port: int | None = None,
    browser: bool = True,
    arguments: Sequence[str] = (),
) -> Notebook:
    """Return the command and the environment.

    Args:
        connection: The variables of `connection.env`.
        folder: Where notebooks are kept.
        source: Where the connection comes from, for messages.
        port: To listen on, on this machine alone; None lets JupyterLab choose.
        browser: Whether to open one.
        arguments: Further ones for JupyterLab.

    Raises:
        SetupProblem: JupyterLab is not installed, a variable is missing, or there is no folder.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise SetupProblem(
            "JupyterLab is not installed.", suggestion="pip install 'landloom[notebook]'."
        )
    for name in _NEEDED:
        if not connection.get(name):
            raise SetupProblem(
                f"{name} is not set in {source}.",
                suggestion="Name the platform with --data DIR, the folder given to `landloom up`.",
            )
    if not folder.is_dir():
        raise SetupProblem(f"There is no folder {folder}.", suggestion="Make it, or name another.")
    argv = [sys.executable, "-m", "jupyterlab", *_QUIET, f"--ServerApp.root_dir={folder}"]
    argv += [] if port is None else [f"--port={port}", "--ServerApp.port_retries=0"]
    argv += [] if browser else ["--no-browser"]
    # Jobs run as this user anyway; a kernel can do no more than they.
    argv += ["--allow-root"] if os.geteuid() == 0 else []
    return Notebook((*argv, *arguments), _environment(connection))


def _environment(connection: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with the connection laid over it."""
    path = [str(jobsite.hook_folder()), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **connection, "PYTHONPATH": os.pathsep.join(path)}
