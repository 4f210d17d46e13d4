"""One platform for all tests of whole processes."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from landloom.server.storage.admin import Credentials
from landloom.server.storage.clients import s3_client
from landloom.server.storage.places import StoreAccess
from landloom.stack.connection import read_connection

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
LANDLOOM = (sys.executable, "-m", "landloom.cli")


@dataclass(frozen=True)
class Platform:
    """A platform that is up."""

    folder: Path

    @property
    def connection(self) -> dict[str, str]:
        """The variables of its connection.env."""
        return read_connection(self.folder / "connection.env")

    @property
    def env(self) -> dict[str, str]:
        """A user's environment with connection.env sourced."""
        return plain_environment() | self.connection

    def upload(self, name: str, text: str) -> str:
        """Put a script into the managed storage; return its URI."""
        known = self.connection
        uri = known["USER_S3_PATH"] + name
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        keys = Credentials(known["AWS_ACCESS_KEY_ID"], known["AWS_SECRET_ACCESS_KEY"])
        store = StoreAccess(known["AWS_ENDPOINT_URL"], known["AWS_REGION"], keys)
        # The store may have been killed, and still be on its way up.
        s3_client(store, attempts=12).put_object(Bucket=bucket, Key=key, Body=text.encode())
        return uri

    def landloom(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a `landloom` command as a user of this platform."""
        return landloom(*arguments, env=self.env, timeout=timeout)


def plain_environment() -> dict[str, str]:
    """The environment of somebody who has set nothing up."""
    # Not PYTHONDONTWRITEBYTECODE: nobody compiles all of their packages at every start.
    ours = ("AWS_", "LANDLOOM_", "WHEROBOTS_", "USER_", "PYTHONDONT")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def samples_environment() -> dict[str, str]:
    """What makes the engine read the sample scenes, offline."""
    named = {
        "LANDLOOM_CATALOG": SAMPLES / "catalog.toml",
        "LANDLOOM_DIVISIONS": SAMPLES / "aoi" / "wkls_overture_division_area_sample.parquet",
    }
    return {name: str(path) for name, path in named.items() if path.exists()}


def landloom(*arguments: str, env=None, timeout=120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LANDLOOM, *arguments],
        env=plain_environment() if env is None else env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def start_platform(folder: Path, *arguments: str) -> Platform:
    """Start a platform in the background; its folder's name must not be a surprise to clients."""
    env = plain_environment() | samples_environment()
    started = landloom("up", f"--data={folder}", "--detach", *arguments, env=env)
    assert started.returncode == 0, started.stderr
    return Platform(folder)


@pytest.fixture(scope="session")
def platform(tmp_path_factory):
    """A platform over the sample scenes, ended after the last test."""
    folder = tmp_path_factory.mktemp("platform")
    yield start_platform(folder)
    landloom("down", f"--data={folder}")
    if os.environ.get("LANDLOOM_KEEP_PLATFORM") is None:
        shutil.rmtree(folder, ignore_errors=True)
