"""One platform on one folder: what is in the folder, who holds it, which ports it keeps."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from landloom.errors import SetupProblem
from landloom.stack.connection import UNQUOTABLE
from landloom.stack.files import private_folder, write_private
from landloom.stack.objectstore import EmbeddedStore
from landloom.stack.processes import ProcessRecord
from landloom.stack.secrets import MasterSecret
from landloom.stack.weed import StorePorts, WeedConfig

BUCKET = "landloom"
"""The bucket of the managed storage."""

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Ports:
    """Every port of an instance, once chosen kept."""

    api: int
    store: StorePorts
    door: int
    """Where others than this machine's own processes reach the store."""

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the ports noted in `instance.json`, or None at the first start.

        Raises:
            SetupProblem: The file is there and does not say.
        """
        if not path.exists():
            return None
        try:
            found: dict[str, Any] = json.loads(path.read_text())["ports"]
            store = StorePorts(**{name: int(port) for name, port in found["store"].items()})
            # Instances of before there was a door get one: 0 is none yet.
            return cls(int(found["api"]), store, int(found.get("door", 0)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SetupProblem(
                f"{path} does not say which ports this instance has ({error}).",
                suggestion="Remove that one file, and new ports are chosen.",
            ) from error


@dataclass(frozen=True, slots=True)
class Instance:
    """The folder of `landloom up --data`."""

    folder: Path

    @classmethod
    def at(cls, folder: Path) -> Self:
        """Return the instance at `folder`, made absolute.

        Raises:
            SetupProblem: No shell or parser could be given this path in `connection.env`.
        """
        absolute = Path(os.path.abspath(folder))  # noqa: PTH100 - links stay as the user wrote them
        if UNQUOTABLE & set(str(absolute)):
            raise SetupProblem(
                f"The data folder's path {str(absolute)!r} holds a quote, backslash or line end.",
                suggestion="Name a folder without them with --data.",
            )
        return cls(absolute)

    @property
    def settings_file(self) -> Path:
        """Ports, and where the secret is; no secret itself."""
        return self.folder / "instance.json"

    @property
    def connection_file(self) -> Path:
        """What a client needs, as shell variables."""
        return self.folder / "connection.env"

    @property
    def profile_folder(self) -> Path:
        """AWS configuration that `connection.env` names."""
        return self.folder / "profile"

    @property
    def tls_folder(self) -> Path:
        """Authority, certificate and bundle of the API."""
        return self.folder / "tls"

    @property
    def workloads_folder(self) -> Path:
        """One folder per run or workflow."""
        return self.folder / "workloads"

    @property
    def log_file(self) -> Path:
        """The server's log."""
        return self.folder / "server.log"

    @property
    def lock_file(self) -> Path:
        """Locked, and naming its holder, while the instance is up."""
        return self.folder / "lock"

    def exists(self) -> bool:
        """Whether `landloom up` has ever been run on this folder."""
        return self.settings_file.is_file()

    def prepare(self) -> None:
        """Make the folder and those in it that the stack or the server write to.

        Raises:
            SetupProblem: It cannot be made or written to.
        """
        for folder in (
            self.folder,
            self.folder / "db",
            self.workloads_folder,
            self.folder / "cache",
            self.profile_folder,
            self.tls_folder,
        ):
            private_folder(folder)

    def keep(self, ports: Ports) -> None:
        """Note the ports down for the next start."""
        content = {"version": _VERSION, "secret_file": "secret", "ports": asdict(ports)}
        write_private(self.settings_file, json.dumps(content, indent=1) + "\n")

    def store(self, ports: StorePorts) -> EmbeddedStore:
        """Return the instance's object store, running or not."""
        config = WeedConfig(
            data=self.folder / "store",
            config=self.folder / "store-conf",
            ports=ports,
            secret=MasterSecret.ensure(self.folder / "secret"),
        )
        return EmbeddedStore(
            config, BUCKET, log=self.folder / "store.log", record=self.folder / "store.pid"
        )

    def holder(self) -> ProcessRecord | None:
        """Return the `up` process that lives on this folder, or None."""
        record = ProcessRecord.read(self.lock_file)
        return record if record is not None and record.alive() else None

    def is_held(self) -> bool:
        """Whether some process holds the lock, be it known who or not."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the instance: there is one `up` per folder.

        The kernel lets go of the lock when the process ends, however it ends.

        Raises:
            SetupProblem: Another process holds it.
        """
        # Not inherited by children (PEP 446): no job keeps the lock alive.
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                record = ProcessRecord.read(self.lock_file)
                who = f" (process {record.pid})" if record else ""
                raise SetupProblem(
                    f"{self.folder} is in use by another landloom up{who}.",
                    suggestion=f"End it with `landloom down --data {self.folder}`, "
                    "or name another folder with --data.",
                ) from error
            # In place: the lock is on this very file.
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps(asdict(ProcessRecord.of(os.getpid()))).encode())
            yield
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)
