"""What of this process's surroundings a worker elsewhere needs: its way to stores and catalogues.

It travels with the work and never as a setting of the cluster, whose dashboard and logs show those
to everybody.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

PREFIXES = ("AWS_", "CPL_", "GDAL_")
"""Variables of the object store and of GDAL."""

NAMES = (
    "USER_S3_PATH",
    "USER_S3_SHARED_PATH",
    "USER_WAREHOUSE_PATH",
    "LANDLOOM_BUCKETS",
    "LANDLOOM_CATALOG",
    "LANDLOOM_MANAGED_BUCKETS",
    "LANDLOOM_MODELS",
    "LANDLOOM_PRECISION",
    "LANDLOOM_RUNTIME",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
"""Further variables, one by one: the key by which a job reaches the server is not among them."""

LOCAL_FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_PROFILE")
"""Variables about files of this machine, which the engine does not read."""

CERTIFICATES = ("AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
"""Variables that name a file of certificates, which goes along."""


@dataclass(frozen=True, slots=True)
class WorkerEnvironment:
    """Variables for a worker, and the certificates that some of them name."""

    variables: Mapping[str, str] = field(repr=False)
    certificates: Mapping[str, bytes] = field(repr=False)
    """By path on the machine that sends them."""

    @classmethod
    def of_this_process(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Return what this process would send."""
        env = os.environ if environ is None else environ
        variables = {name: value for name, value in env.items() if _travels(name)}
        named = {Path(env[name]) for name in CERTIFICATES if env.get(name)}
        files = {str(path): path.read_bytes() for path in named if path.is_file()}
        return cls(variables, files)

    def enter(self) -> None:
        """Make this process see these variables and, of those that travel, no others."""
        moved = {path: _at_hand(path, data) for path, data in self.certificates.items()}
        for name in [name for name in os.environ if _travels(name)]:
            if name not in self.variables:
                del os.environ[name]
        for name, value in self.variables.items():
            os.environ[name] = moved.get(value, value)


def _travels(name: str) -> bool:
    if name in LOCAL_FILES:
        return False
    return name in NAMES or name in CERTIFICATES or name.startswith(PREFIXES)


def _at_hand(path: str, data: bytes) -> str:
    """Return where this machine has a file: in its place if it is there, else in a copy."""
    if Path(path).is_file():
        return path
    folder = _own_folder()
    copy = folder / f"{hashlib.sha256(data).hexdigest()}.pem"
    if not copy.exists():
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(data)
        Path(file.name).replace(copy)
    return str(copy)


def _own_folder() -> Path:
    """Return the folder of our copies: one for all maps, as their workers end without a word."""
    folder = Path(tempfile.gettempdir()) / f"landloom-certificates-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022:
        return folder
    # Whose it is chose what is in it.
    return Path(tempfile.mkdtemp(prefix="landloom-"))
