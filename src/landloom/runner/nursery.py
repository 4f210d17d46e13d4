"""`python -m landloom.runner.nursery FD`: forks a runner for each folder that is asked for.

A runner that is forked from a process with everything imported begins after some milliseconds, a
fresh interpreter after a tenth of a second of CPU. The nursery ends when whoever started it closes
the other end of the socket FD; its runners go on without it. A message is a folder's path, the
answer the runner's process id. Single-threaded, so that forking is safe.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from landloom.runner import folder
from landloom.runner.supervisor import supervise

MESSAGE_BYTES: Final = 8192
READY: Final = b"ready"


def serve(channel: socket.socket) -> None:
    """Fork runners until the other end is closed."""
    wake, waker = os.pipe()
    for end in (wake, waker):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    # What its owner is sent by a terminal is not meant for it.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _ignore)
    channel.sendall(READY)
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        selector.register(wake, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == wake:
                    os.read(wake, 4096)
                    _collect()
                    continue
                message = channel.recv(MESSAGE_BYTES)
                if not message:
                    return
                channel.sendall(str(_fork(Path(os.fsdecode(message)), channel, waker)).encode())


def _fork(directory: Path, channel: socket.socket, waker: int) -> int:
    """Return the process id of a runner for this folder."""
    pid = os.fork()
    if not pid:
        _be_runner(directory, channel, waker)
    return pid


def _be_runner(directory: Path, channel: socket.socket, waker: int) -> NoReturn:
    """Be the runner, as if started afresh, and end."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        channel.close()
        os.close(waker)
        os.chdir(directory)
        errors = os.open(folder.ERRORS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode=0o600)
        for stream in (1, 2):
            os.dup2(errors, stream)
        os.close(errors)
        status = 0 if supervise(directory) else folder.REFUSED
        if status == folder.REFUSED:
            sys.stderr.write(f"{folder.REFUSAL}\n")
            sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - told where the launcher reads it, then the end
        with suppress(BaseException):
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
    finally:
        os._exit(status)


def _collect() -> None:
    """Take the status of runners that ended, so that they do not stay as zombies."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Stand in for the default, which would not wake the selector."""


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
