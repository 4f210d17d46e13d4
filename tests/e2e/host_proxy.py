"""An HTTP proxy for which every host is this machine: a name server for any program."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

_CHUNK_BYTES = 1 << 16
_OF_THE_HOP = (b"connection", b"proxy-connection", b"keep-alive")


class _Request(socketserver.StreamRequestHandler):
    """One request on a connection of its own, passed on as it comes."""

    def handle(self) -> None:
        method, url, version = self.rfile.readline().split()
        host, _, path = url.partition(b"://")[2].partition(b"/")
        self.server.asked.append((host.decode(), f"/{path.decode()}"))
        port = int(host.rpartition(b":")[2]) if b":" in host else 80
        headers = []
        while (line := self.rfile.readline()).strip():
            if line.partition(b":")[0].lower() not in _OF_THE_HOP:
                headers.append(line)
        with socket.create_connection(("127.0.0.1", port)) as store:
            head = [b"%s /%s %s\r\n" % (method, path, version), *headers, b"connection: close\r\n"]
            store.sendall(b"".join([*head, b"\r\n"]))
            body = threading.Thread(target=self._send_body, args=(store,), daemon=True)
            body.start()
            with contextlib.suppress(OSError):
                while data := store.recv(_CHUNK_BYTES):
                    self.connection.sendall(data)
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            body.join()

    def _send_body(self, store: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := self.rfile.read1(_CHUNK_BYTES):
                store.sendall(data)


class HostProxy(socketserver.ThreadingTCPServer):
    """The proxy."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.asked: list[tuple[str, str]] = []
        """Host and path of each request."""

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which programs find it."""
        here = "127.0.0.1,localhost"
        proxy = f"http://127.0.0.1:{self.server_address[1]}"
        return {"http_proxy": proxy, "no_proxy": here, "NO_PROXY": here}


@contextlib.contextmanager
def host_proxy() -> Iterator[HostProxy]:
    """Serve in threads till the end of the block."""
    with HostProxy() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
