"""A platform of its own for a benchmark: the real server and store, started and ended here."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from landloom.server.storage.admin import Credentials
from landloom.server.storage.clients import s3_client
from landloom.server.storage.places import StoreAccess
from landloom.stack.connection import read_connection

START_SECONDS = 120


@dataclass(frozen=True)
class Bench:
    """A platform that is up."""

    folder: Path
    connection: dict[str, str]

    @property
    def url(self) -> str:
        return self.connection["LANDLOOM_URL"]

    @property
    def key(self) -> str:
        return self.connection["WHEROBOTS_API_KEY"]

    def client(self) -> httpx.Client:
        """Return a client of the API."""
        headers = {"X-API-Key": self.key}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60)

    def upload(self, name: str, text: str) -> str:
        """Put a script into the user's folder; return its URI."""
        uri = self.connection["USER_S3_PATH"] + name
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        known = self.connection
        keys = Credentials(known["AWS_ACCESS_KEY_ID"], known["AWS_SECRET_ACCESS_KEY"])
        store = StoreAccess(known["AWS_ENDPOINT_URL"], known["AWS_REGION"], keys)
        s3_client(store).put_object(Bucket=bucket, Key=key, Body=text.encode())
        return uri

    def server(self) -> psutil.Process:
        """Return the server's process."""
        port = int(self.url.rpartition(":")[2])
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                return psutil.Process(connection.pid)
        raise RuntimeError(f"nobody listens on port {port}")


@contextlib.contextmanager
def platform(**environ: str) -> Iterator[Bench]:
    """Start a platform in a folder of its own; `environ` is what the server finds set besides."""
    ours = ("AWS_", "LANDLOOM_", "WHEROBOTS_", "USER_", "UV_")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    with tempfile.TemporaryDirectory(prefix="landloom-bench-") as place:
        folder = Path(place) / "data"
        _landloom("up", f"--data={folder}", "--detach", env=plain | environ)
        try:
            yield Bench(folder, read_connection(folder / "connection.env"))
        finally:
            _landloom("down", f"--data={folder}", env=plain)


def small_wheel(folder: Path) -> dict[str, str]:
    """Make a package and an index with nothing in it; return the variables that name them."""
    info = "landloom_small-1.0.dist-info"
    files: dict[str, Any] = {
        "landloom_small.py": "words = 'a small dependency'\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: landloom_small\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    index = folder / "index"
    index.mkdir()
    with zipfile.ZipFile(folder / "landloom_small-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return {"UV_FIND_LINKS": str(folder), "UV_DEFAULT_INDEX": index.as_uri()}


def _landloom(*arguments: str, env: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-m", "landloom.cli", *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=START_SECONDS,
        check=True,
    )
