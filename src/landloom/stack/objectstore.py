"""The embedded object store as a process: adopted or started, ready when it stores, ended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from landloom.errors import SetupProblem
from landloom.server.storage.clients import S3_ERRORS, s3_client
from landloom.stack import weed
from landloom.stack.files import private_file, private_folder
from landloom.stack.identities import ADMIN, Identities
from landloom.stack.processes import ProcessRecord

READY_SECONDS = 30.0
"""A start takes 3 to 5 s, twice that on a busy machine; after this it is tried once more."""

STOP_SECONDS = 2.0
"""What the store gets to end by itself: a goodbye may take 16 s, and while starting for ever.

Being killed costs it nothing: what it acknowledged is written.
"""

_ADOPT_SECONDS = 10.0
_STARTS = 2
_POLL_SECONDS = 0.1
_PROBE_SECONDS = 2.0
_PROBE_KEY = ".landloom/probe"
_LARGEST_LOG_BYTES = 64 << 20
_LOG_TAIL_LINES = 5

Outcome = Literal["started", "adopted", "restarted", "external"]


@dataclass(slots=True)
class EmbeddedStore:
    """One SeaweedFS process on one folder."""

    config: weed.WeedConfig
    bucket: str
    """The managed bucket; made at the first start, and probed."""
    log: Path
    record: Path
    """Where the running process is noted down, for the next `up` or `down`."""
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _process: ProcessRecord | None = field(default=None, init=False)
    _given_up: bool = field(default=False, init=False)
    _changing: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)

    @property
    def identities(self) -> Identities:
        """The store's users."""
        return Identities(self.config.identities, self.config.secret)

    @property
    def process(self) -> ProcessRecord | None:
        """The process this object started or adopted."""
        return self._process

    def ensure(self) -> Outcome:
        """Return once the store answers a signed PUT and GET.

        A process that an earlier `up` left behind is adopted if it runs with this configuration and
        answers; otherwise it is ended and a new one started on its data.

        Raises:
            SetupProblem: The store did not come up; the message quotes its log.
        """
        with self._changing:
            return self._ensure()

    def _ensure(self) -> Outcome:
        weed.write_config(self.config)
        self.identities.ensure_admin()
        left = self.left_behind()
        if left is not None and self._adopt(left):
            return "adopted"
        outcome: Outcome = "started" if left is None else "restarted"
        for _ in range(_STARTS):
            self.end()
            if self._given_up:
                raise SetupProblem("The object store was ended while it was starting.")
            private_folder(self.config.sockets)
            self._start()
            if self._ready(READY_SECONDS):
                return outcome
        self.end()
        if self._given_up:
            raise SetupProblem("The object store was ended while it was starting.")
        raise SetupProblem(
            f"The object store did not start; its log says: {self._log_tail()}",
            suggestion=f"The whole log is {self.log}.",
        )

    def give_up(self) -> None:
        """Make an `ensure` that is under way in another thread end soon, without success."""
        self._given_up = True

    def alive(self) -> bool:
        """Whether the process still runs."""
        if self._child is not None and self._child.poll() is not None:
            return False
        return self._process is not None and self._process.alive()

    def reload(self) -> None:
        """Make the running store read its identities again."""
        found = self._process.process() if self._process else None
        if found is not None:
            found.send_signal(signal.SIGHUP)

    def end(self) -> bool:
        """End the store, whoever started it; return whether there was one."""
        with self._changing:
            return self._end()

    def _end(self) -> bool:
        left = self.left_behind()
        ended = left.end(grace_seconds=STOP_SECONDS) if left else False
        if self._child is not None:
            self._child.wait(STOP_SECONDS)
        self._child = self._process = None
        self.record.unlink(missing_ok=True)
        for socket in self.config.leftover_sockets:
            socket.unlink(missing_ok=True)
        if self.config.sockets != self.config.config:
            shutil.rmtree(self.config.sockets, ignore_errors=True)
        return ended

    def left_behind(self) -> ProcessRecord | None:
        """Return the process that serves this store now, noted down or not."""
        noted = ProcessRecord.read(self.record)
        process = noted.process() if noted else None
        if process is not None and _serves(process, self.config.config_option):
            return noted
        # Killed between starting the store and noting it down: its arguments give it away.
        return next(_serving(self.config.config_option), None)

    def is_current(self) -> bool:
        """Whether the store was last started with this very configuration."""
        try:
            return self._fingerprint_file.read_text() == self.config.fingerprint
        except OSError:
            return False

    def bound_log(self) -> None:
        """Start the log over once it is very long; the store goes on appending to it."""
        if self.log.exists() and self.log.stat().st_size > _LARGEST_LOG_BYTES:
            os.truncate(self.log, 0)

    def _adopt(self, left: ProcessRecord) -> bool:
        if not self.is_current():
            return False
        self._process = left
        self.reload()
        if not self._ready(_ADOPT_SECONDS):
            return False
        left.write(self.record)
        return True

    @property
    def _fingerprint_file(self) -> Path:
        return self.config.config / "fingerprint"

    def _start(self) -> None:
        self._fingerprint_file.write_text(self.config.fingerprint)
        with private_file(self.log).open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - our own binary, arguments of our own
                weed.command(self.config),
                env=weed.environment(self.config),
                cwd=self.config.config,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at the terminal is for `up`, which then ends it
                umask=0o077,
            )
        self._process = ProcessRecord.of(self._child.pid)
        self._process.write(self.record)

    def _ready(self, seconds: float) -> bool:
        client = s3_client(self.config.access(ADMIN), attempts=1, read_seconds=_PROBE_SECONDS)
        token = str(time.time_ns()).encode()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.alive() and not self._given_up:
            if _stores(client, self.bucket, token):
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def _log_tail(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return "nothing"
        return " | ".join(lines[-_LOG_TAIL_LINES:]) or "nothing"


def _stores(client: Any, bucket: str, token: bytes) -> bool:
    try:
        client.put_object(Bucket=bucket, Key=_PROBE_KEY, Body=token)
        return bool(client.get_object(Bucket=bucket, Key=_PROBE_KEY)["Body"].read() == token)
    except client.exceptions.NoSuchBucket:
        return _make_bucket(client, bucket)
    except S3_ERRORS:
        return False


def _make_bucket(client: Any, bucket: str) -> bool:
    """Make the bucket; False in any case, since nothing is stored yet."""
    try:
        client.create_bucket(Bucket=bucket)
    except S3_ERRORS:
        return False
    return False


def _serves(process: psutil.Process, option: str) -> bool:
    try:
        return option in process.cmdline()
    except psutil.Error:
        return False


def _serving(option: str) -> Iterator[ProcessRecord]:
    for process in psutil.process_iter():
        if _serves(process, option):
            # One that ended meanwhile serves no more.
            with suppress(psutil.NoSuchProcess):
                yield ProcessRecord.of(process.pid)
