"""Bringing a local script to where a run can read it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from landloom.cli.connection import Connection
from landloom.errors import LandloomError, SetupProblem, Unavailable

_TIMEOUT = timedelta(seconds=60)


def upload_script(connection: Connection, script: Path, run_name: str) -> str:
    """Copy `script` to the user's own folder and return its URI.

    Each run has a place of its own there, so a later upload never changes a run that is waiting.

    Raises:
        SetupProblem: There is no such file, or the connection lacks a variable.
        Unavailable: The object store did not take it.
    """
    if not script.is_file():
        raise SetupProblem(
            f"There is no file {script}.",
            suggestion="Name a local Python script, or the s3:// URI of one that is uploaded.",
        )
    folder = connection.require("USER_S3_PATH")
    bucket, _, prefix = folder.removeprefix("s3://").partition("/")
    key = f"{prefix.rstrip('/')}/scripts/{run_name}/{script.name}".lstrip("/")
    _put(connection, bucket, key, script)
    return f"s3://{bucket}/{key}"


def _put(connection: Connection, bucket: str, key: str, script: Path) -> None:
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    options: dict[str, Any] = {
        "access_key_id": connection.require("AWS_ACCESS_KEY_ID"),
        "secret_access_key": connection.require("AWS_SECRET_ACCESS_KEY"),
        "region": connection.variables.get("AWS_REGION") or "us-east-1",
    }
    endpoint = connection.variables.get("AWS_ENDPOINT_URL")
    if endpoint:
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    try:
        store = S3Store(
            bucket,
            **options,
            client_options={"allow_http": True, "timeout": _TIMEOUT},
            retry_config={"max_retries": 4, "retry_timeout": _TIMEOUT},
        )
        obstore.put(store, key, script)
    except (BaseError, OSError) as error:
        raise _refused(error, script, f"s3://{bucket}/{key}") from error


def _refused(error: Exception, script: Path, uri: str) -> LandloomError:
    reason = str(error).splitlines()[0][:300]
    return Unavailable(
        f"{script} could not be uploaded to {uri} ({reason}).",
        suggestion="Source the connection file again, and see that the platform is up.",
    )
