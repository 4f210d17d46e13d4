"""Stores that Landloom did not start, each as somebody else would run it.

MinIO and versitygw are Go programs: `LANDLOOM_TEST_MINIO` and `LANDLOOM_TEST_VERSITYGW` name them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from landloom.server.storage.admin import Credentials
from landloom.server.storage.places import Addressing, StoreAccess
from landloom.stack.ports import pick
from landloom.stack.weed import LENDING_ARN
from tests.api.seaweed import real_store
from tests.api.stores import RealStore, foreign_store

HOST = "somebody.localhost"
"""Where foreign stores are; buckets are hosts below it."""
KEYS = Credentials("FOREIGNKEY", "foreign-secret/+%1234567890")
REGION = "eu-somewhere-1"
ANY_ROLE = "arn:minio:iam:::role/any"
_START_SECONDS = 120.0


@dataclass(frozen=True)
class Kind:
    """A program, and how its buckets are named."""

    name: str
    addressing: Addressing = "path"
    can_scope: bool = True

    def __str__(self) -> str:
        return f"{self.name}-{self.addressing}"


KINDS = (
    Kind("seaweedfs"),
    Kind("seaweedfs", "virtual"),
    Kind("minio"),
    Kind("minio", "virtual"),
    Kind("versitygw", can_scope=False),
    Kind("versitygw", "virtual", can_scope=False),
)


@dataclass(frozen=True)
class Somebody:
    """Who runs a store, for both ways to name its buckets."""

    access: StoreAccess
    role_arn: str = ""

    def store(self, addressing: Addressing, folder: Path) -> RealStore:
        """Return the store, tried out; `hosts_are_here` must be in force."""
        access = replace(self.access, addressing=addressing)
        return foreign_store(access, folder, s3_role_arn=self.role_arn)


def program_of(name: str) -> str:
    """Return the variable that names a program."""
    return f"LANDLOOM_TEST_{name.upper()}"


def kinds() -> tuple[Kind, ...]:
    """Return the kinds whose program is there."""
    return tuple(
        kind for kind in KINDS if kind.name == "seaweedfs" or os.environ.get(program_of(kind.name))
    )


@contextlib.contextmanager
def somebody(name: str, folder: Path) -> Iterator[Somebody]:
    """Run a store."""
    if name == "seaweedfs":
        with real_store(folder / "seaweedfs", domains=(HOST,)) as seaweed:
            endpoint = f"http://{HOST}:{seaweed.store.config.ports.s3}"
            yield Somebody(replace(seaweed.access, endpoint_url=endpoint), LENDING_ARN)
        return
    with _program(name, folder) as port:
        access = StoreAccess(f"http://{HOST}:{port}", REGION, KEYS)
        yield Somebody(access, ANY_ROLE if name == "minio" else "")


@contextlib.contextmanager
def hosts_are_here() -> Iterator[None]:
    """Let every host at or below `HOST` be this machine, as a name server would."""
    lookup = socket.getaddrinfo

    def mapped(name, *rest, **more):
        text = name.decode() if isinstance(name, bytes) else name
        known = isinstance(text, str) and (text == HOST or text.endswith(f".{HOST}"))
        return lookup("127.0.0.1" if known else name, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", mapped)
        yield


@contextlib.contextmanager
def _program(name: str, folder: Path) -> Iterator[int]:
    """Run MinIO or versitygw on a port of loopback; yield the port."""
    binary = os.environ[program_of(name)]
    port, console = pick(2, with_grpc=False)
    data = folder / name
    data.mkdir()
    commands: dict[str, Sequence[str | Path]] = {
        "minio": (
            *(binary, "server", f"--address=127.0.0.1:{port}"),
            *(f"--console-address=127.0.0.1:{console}", data),
        ),
        "versitygw": (
            *(binary, f"--port=127.0.0.1:{port}", f"--region={REGION}"),
            *(f"--virtual-domain={HOST}", "posix", data),
        ),
    }
    env = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "MINIO_ROOT_USER": KEYS.access_key,
        "MINIO_ROOT_PASSWORD": KEYS.secret_key,
        "MINIO_DOMAIN": HOST,
        "MINIO_REGION": REGION,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "ROOT_ACCESS_KEY": KEYS.access_key,
        "ROOT_SECRET_KEY": KEYS.secret_key,
    }
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            commands[name], env=env, cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait_for(process, port, folder / f"{name}.log")
        yield port
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until anything answers by HTTP: who is not known is refused, and that is an answer."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code < 500:
                return
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())
