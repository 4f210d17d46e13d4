"""A whole platform whose object store can be killed, with the face of a server of tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

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
        return self._platform.upload(name, text)

    def kill_store(self) -> None:
        record = ProcessRecord.read(Path(self._platform.folder) / "store.pid")
        process = record.process() if record is not None else None
        if process is not None:
            process.kill()
