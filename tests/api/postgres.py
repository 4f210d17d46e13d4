"""A PostgreSQL server for tests: Debian's binaries, on a loopback port, in a folder of its own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from landloom.stack.ports import pick

START_SECONDS = 120
SERVER_USER = "postgres"
"""Who runs the server where the tests run as root, whom it refuses."""


@dataclass
class PostgresServer:
    """A running server."""

    binaries: Path
    port: int
    made: set[str] = field(default_factory=set)

    def url(self, name: str) -> str:
        """Return the URL of the database for a name, which is made at the first call."""
        database = "t" + hashlib.sha256(name.encode()).hexdigest()[:20]
        if database not in self.made:
            self.query("postgres", f"CREATE DATABASE {database}")
            self.made.add(database)
        return f"postgresql+asyncpg://landloom@127.0.0.1:{self.port}/{database}"

    def query(self, database: str, statement: str) -> str:
        """Run a statement; return what it yields, unaligned, columns parted by `|`."""
        command = [self.binaries / "psql", "-h", "127.0.0.1", "-p", str(self.port)]
        command += ["-U", "landloom", "-d", database, "-At", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(
            [*command, "-c", statement], capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout


def postgres_binaries() -> Path | None:
    """Return the folder of the newest server's binaries, or None where there is no server."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@contextlib.contextmanager
def postgres(binaries: Path) -> Iterator[PostgresServer]:
    """Run a server till the end of the block."""
    with tempfile.TemporaryDirectory(prefix="landloom-postgres-") as place:
        data, log = Path(place) / "data", Path(place) / "log"
        (port,) = pick(1, with_grpc=False)
        own = _as_server_user(Path(place))
        encoding = ["--no-sync", "-E", "UTF8", "--locale=C"]
        _run([*own, binaries / "initdb", "-D", data, "-U", "landloom", "-A", "trust", *encoding])
        settings = f"-h 127.0.0.1 -p {port} -k '' -c fsync=off -c max_connections=200"
        control = [*own, binaries / "pg_ctl", "-D", data]
        _run([*control, "-o", settings, "-w", "-t", str(START_SECONDS), "-l", log, "start"])
        try:
            yield PostgresServer(binaries, port)
        finally:
            _run([*control, "-m", "immediate", "-w", "stop"])


def _as_server_user(place: Path) -> list[str]:
    """Return what to put before a command so that the server is not run by root."""
    if os.geteuid() != 0:
        return []
    shutil.chown(place, SERVER_USER, SERVER_USER)
    return [
        "setpriv", f"--reuid={SERVER_USER}", f"--regid={SERVER_USER}", "--clear-groups",
    ]  # fmt: skip


def _run(command: list[str | Path]) -> None:
    # Files, not pipes: the server inherits them, and a pipe would stay open till it ends.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            command, cwd="/", stdout=output, stderr=output, timeout=2 * START_SECONDS, check=False
        )
        output.seek(0)
        assert done.returncode == 0, output.read()
