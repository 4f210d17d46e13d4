"""The server's end of the nursery: runners in some milliseconds each."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from landloom.errors import Unavailable
from landloom.runner import nursery

_START_SECONDS: Final = 15.0
_ANSWER_SECONDS: Final = 15.0


class Nursery:
    """Starts runners by forking them from a process that has everything loaded.

    That process is started at the first need, and again where it is gone. It ends with this one.
    """

    def __init__(self, python: str, environment: Mapping[str, str]) -> None:
        """Make one.

        Args:
            python: An interpreter that has `landloom` and `psutil`.
            environment: The whole environment of runners.
        """
        self._python = python
        self._environment = dict(environment)
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, directory: Path) -> int:
        """Start a runner for this folder; return its process id.

        Raises:
            Unavailable: No runner can be started; the interpreter's own words are in the message.
        """
        with self._lock:
            if self._channel is not None:
                try:
                    return _ask(self._channel, directory)
                except OSError:
                    self._close()
            try:
                return _ask(self._open(), directory)
            except OSError as problem:
                self._close()
                raise Unavailable(f"The nursery of runners does not answer: {problem}.") from None

    def _open(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
                # -P: the folder it stands in must not shadow modules.
                [self._python, "-P", "-m", nursery.__name__, str(theirs.fileno())],
                env=self._environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
            self._process, self._channel = process, ours
            theirs.close()
            ours.settimeout(_START_SECONDS)
            with suppress(OSError):
                if ours.recv(nursery.MESSAGE_BYTES) == nursery.READY:
                    ours.settimeout(_ANSWER_SECONDS)
                    return ours
            self._close()
            errors.seek(0)
            words = errors.read().decode("utf-8", "replace").strip()
            raise Unavailable(
                f"Runners cannot be started: {self._python} ended at once with status"
                f" {process.returncode}: {words[-2000:]}",
                suggestion="Mend the interpreter's environment, then submit again.",
            )

    def _close(self) -> None:
        """Let go of a nursery that does not answer; its runners go on."""
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            try:
                self._process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._channel = self._process = None


def _ask(channel: socket.socket, directory: Path) -> int:
    channel.sendall(os.fsencode(directory))
    answer = channel.recv(nursery.MESSAGE_BYTES)
    if not answer:
        raise ConnectionResetError("it has ended")
    return int(answer)
