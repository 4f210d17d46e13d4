"""A whole platform whose object store can be killed, with the face of a server of tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.config import Config

from landloom.stack.processes import ProcessRecord
from tests.e2e.conftest import Platform


class StoredServer:
    """A platform that is up."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._known = platform.connection

    def ask(self, method: str, path: str, **options: Any) -> Any:
        headers = {"X-API-Key": self._known["WHEROBOTS_API_KEY"], **options.pop("headers", {})}
        url = self._known["LANDLOOM_URL"] + path
        answer = httpx.request(method, url, headers=headers, timeout=20, **options)
        answer.raise_for_status()
        return answer.json()

    def upload(self, text: str, name: str) -> str:
        bucket, _, prefix = self._known["USER_S3_PATH"].removeprefix("s3://").partition("/")
        store = boto3.session.Session(
            aws_access_key_id=self._known["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self._known["AWS_SECRET_ACCESS_KEY"],
            region_name=self._known["AWS_REGION"],
        ).client(
            "s3",
            endpoint_url=self._known["AWS_ENDPOINT_URL"],
            # The store of the round before may still be on its way up.
            config=Config(
                s3={"addressing_style": "path"}, retries={"max_attempts": 12, "mode": "standard"}
            ),
        )
        store.put_object(Bucket=bucket, Key=prefix + name, Body=text.encode())
        return f"s3://{bucket}/{prefix}{name}"

    def kill_store(self) -> None:
        record = ProcessRecord.read(Path(self._platform.folder) / "store.pid")
        process = record.process() if record is not None else None
        if process is not None:
            process.kill()
