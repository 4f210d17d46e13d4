"""A platform that speaks TLS with a certificate of its own authority, and clients beside it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.clients.environments import client_python
from tests.e2e.conftest import Platform, landloom, plain_environment, start_platform

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Secured:
    """A platform behind TLS, as a client's machine knows it: address, key, authority."""

    platform: Platform

    @property
    def url(self) -> str:
        return self.platform.connection["LANDLOOM_URL"]

    @property
    def host(self) -> str:
        """Name and port, without a scheme: all that some clients take."""
        return urlsplit(self.url).netloc

    @property
    def key(self) -> str:
        return self.platform.connection["WHEROBOTS_API_KEY"]

    @property
    def authority(self) -> dict[str, str]:
        """The variable by which clients over `requests` trust the platform."""
        return {"REQUESTS_CA_BUNDLE": self.platform.connection["REQUESTS_CA_BUNDLE"]}

    def upload(self, name: str, script: str) -> str:
        """Put a script into the managed storage; return its URI."""
        return self.platform.upload(name, script)

    def run(self, run_id: str) -> dict[str, Any]:
        """Return a run as the API shows it to anybody."""
        with requests.Session() as session:
            session.trust_env = False  # else a bundle of this machine's would win over ours
            answer = session.get(
                f"{self.url}/runs/{run_id}",
                headers={"X-API-Key": self.key},
                verify=self.authority["REQUESTS_CA_BUNDLE"],
                timeout=30,
            )
        assert answer.ok, answer.text
        return answer.json()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to make the environments that are wanted, beside the tests that come before."""
    if session.config.option.collectonly:
        return
    modules = {item.module for item in session.items if isinstance(item, pytest.Function)}
    names = {module.ENVIRONMENT for module in modules if hasattr(module, "ENVIRONMENT")}
    threading.Thread(target=_make_environments, args=(sorted(names),), daemon=True).start()


def _make_environments(names: Sequence[str]) -> None:
    # What cannot be made now is told by the test that wants it.
    with contextlib.suppress(Exception):
        for name in names:
            client_python(name)


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    yield Secured(start_platform(folder, "--tls"))
    landloom("down", f"--data={folder}")


def drive(name: str, program: str, env: dict[str, str], work: Path, plan: Any) -> Any:
    """Run a program of ours in a client's environment; return what it tells by its last line.

    Args:
        name: Of the environment.
        program: A file of this folder. It reads `plan` from its standard input.
        env: What a user of the client sets.
        work: Its current, and home, folder.
        plan: What it is to do.
    """
    trusted = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PYTHONPATH")
    plain = {each: value for each, value in plain_environment().items() if each not in trusted}
    done = subprocess.run(
        [client_python(name), HERE / program],
        env=plain | {"HOME": str(work)} | env,
        cwd=work,
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return json.loads(done.stdout.splitlines()[-1])
