"""Bringing a local script to where a run can read it: by the files API, as `storage cp` does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from landloom.errors import SetupProblem

if TYPE_CHECKING:
    from landloom.cli.client import ApiClient
    from landloom.cli.connection import Connection


def upload_script(client: ApiClient, connection: Connection, script: Path, run_name: str) -> str:
    """Copy `script` to the user's own folder and return its URI.

    Each run has a place of its own there, so a later upload never changes a run that is waiting.

    Raises:
        SetupProblem: There is no such file.
        Unavailable: The object store did not take it.
    """
    from landloom.cli.client import trust
    from landloom.cli.drive import MINE, Drive
    from landloom.cli.transfer import Job, Transfer

    if not script.is_file():
        raise SetupProblem(
            f"There is no file {script}.",
            suggestion="Name a local Python script, or the s3:// URI of one that is uploaded.",
        )
    drive = Drive(client)
    remote = drive.find(f"{MINE}scripts/{run_name}/{script.name}")
    with Transfer(drive, trust(connection), quiet=True) as transfer:
        transfer.upload([Job(script, remote, script.stat().st_size)])
    return drive.uri(remote)
