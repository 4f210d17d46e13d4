"""A way to PostgreSQL that breaks off at the worst of moments, on demand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

COMMIT = b"COMMIT;"


@dataclass
class CuttingProxy:
    """Passes bytes on, until a transaction that carries `word` is committed.

    The commit is let through, and its answer waited for; then the connection is cut, and the one
    who asked never hears of it. That happens once.

    Attributes:
        commits: Whether the commit is let through.
        stays_away: Whether every connection is cut with that one, and none taken until `come_back`.
        silent: Whether none is cut: they stay open, and nothing passes through them any more, nor
            through those that are opened until `come_back`.
    """

    server_port: int
    word: bytes
    commits: bool = True
    stays_away: bool = False
    silent: bool = False
    port: int = 0
    cuts: int = 0
    is_away: bool = False
    _open: set[asyncio.StreamWriter] = field(default_factory=set, repr=False)
    _serving: asyncio.Server | None = field(default=None, repr=False)

    async def start(self) -> None:
        self._serving = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._serving.sockets[0].getsockname()[1]

    def come_back(self) -> None:
        """Take connections again."""
        self.is_away = False

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_away:
            # Till who asks gives up.
            while self.silent and await reader.read(1 << 16):
                pass
            writer.transport.abort()
            return
        self._open.add(writer)
        answers, questions = await asyncio.open_connection("127.0.0.1", self.server_port)
        doomed = asyncio.Event()
        tasks = [
            asyncio.create_task(self._ask(reader, questions, doomed)),
            asyncio.create_task(self._answer(answers, writer, doomed)),
        ]
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        self._open.discard(writer)
        cut = {writer, questions}
        if doomed.is_set() and self.stays_away:
            self.is_away = True
            cut |= self._open
        for each in cut:
            each.transport.abort()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        carries = False
        while data := await reader.read(1 << 16):
            carries = carries or self.word in data
            if self.silent and self.is_away:
                doomed.set()
            if doomed.is_set():
                continue
            if COMMIT in data:
                if carries and not self.cuts:
                    self.cuts += 1
                    self.is_away = self.silent
                    doomed.set()
                    if not self.commits:
                        if self.silent:
                            continue
                        return
                carries = False
            writer.write(data)

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        while data := await reader.read(1 << 16):
            if doomed.is_set() and not self.silent:
                return
            if not doomed.is_set():
                writer.write(data)


@contextmanager
def cutting_proxy(server_port: int, word: bytes, **options: bool) -> Iterator[CuttingProxy]:
    """Serve in a thread till the end of the block."""
    proxy = CuttingProxy(server_port, word, **options)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(proxy.start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()
