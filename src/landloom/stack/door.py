"""The store's door for those who are not on this machine, or who want TLS.

The embedded store itself listens on loopback, without TLS. Presigned URLs are for anybody who
reaches the API, and some clients take none that is not https: so their requests come through here,
byte by byte. Signatures hold, for they are over the host that the client named.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Final

from landloom.stack.tls import ServerTls
from landloom.stack.weed import LOOPBACK

_CHUNK_BYTES: Final = 256 * 1024
_GOODBYE_SECONDS: Final = 2.0
_STALLED_SECONDS: Final = 300.0
"""How long an end may take nothing of what is there for it. Silence is the store's to end."""


class StoreDoor:
    """Hands connections on to the store's own S3 port."""

    def __init__(
        self, store_port: int, tls: ServerTls | None, *, stalled_seconds: float = _STALLED_SECONDS
    ) -> None:
        self._store_port = store_port
        self._stalled_seconds = stalled_seconds
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if tls else None
        self._open: set[asyncio.Task[None]] = set()
        self.renew(tls)

    def renew(self, tls: ServerTls | None) -> None:
        """Show this certificate from now on."""
        if self._context is not None and tls is not None:
            self._context.load_cert_chain(tls.leaf.certificate, tls.leaf.key)

    @contextlib.asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncIterator[None]:
        """Serve what comes to `listener`; on the way out, end what is open."""
        server = await asyncio.start_server(
            self._serve, sock=listener, ssl=self._context, limit=_CHUNK_BYTES
        )
        try:
            yield
        finally:
            server.close()
            for task in self._open:
                task.cancel()
            await asyncio.wait(
                [asyncio.create_task(server.wait_closed())], timeout=_GOODBYE_SECONDS
            )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        # Either end may go away at any time; there is nobody to tell but the other one.
        with contextlib.suppress(OSError, asyncio.CancelledError):
            try:
                await self._relay(reader, writer)
            finally:
                writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_store, to_store = await asyncio.open_connection(
            LOOPBACK, self._store_port, limit=_CHUNK_BYTES
        )
        there = asyncio.create_task(self._pump(reader, to_store))
        try:
            await self._pump(from_store, writer)
        finally:
            there.cancel()
            to_store.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand on what comes until its end, and tell the end."""
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                writer.write(chunk)
                async with asyncio.timeout(self._stalled_seconds):
                    await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except TimeoutError:
            # To close is to wait until all is taken.
            writer.transport.abort()
        except OSError:
            pass
