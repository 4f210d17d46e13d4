"""A small STAC API on loopback: real HTTP, real paging, items in whatever shape a test gives it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import shapely
from shapely.geometry import shape

CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
]


@dataclass
class StacApi:
    """What the server holds and what it was asked."""

    items: Sequence[dict[str, Any]]
    page: int = 2
    """Items a page, whatever the client asks for."""
    failures: list[int] = field(default_factory=list)
    """Statuses to answer the next searches with, before all goes well."""
    searches: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def search(self, body: dict[str, Any]) -> dict[str, Any]:
        low, high = body["datetime"].split("/")
        area = shape(body["intersects"])
        found = [
            item for item in self.items
            if item["collection"] in body["collections"]
            and low <= item["properties"]["datetime"] <= high
            and shapely.intersects(area, shape(item["geometry"]))
        ]  # fmt: skip
        first = int(body.get("token", 0))
        answer: dict[str, Any] = {
            "type": "FeatureCollection",
            "features": found[first : first + self.page],
            "links": [],
        }
        if first + self.page < len(found):
            following = {**body, "token": first + self.page}
            answer["links"] = [
                {"rel": "next", "href": f"{self.url}/search", "method": "POST", "body": following}
            ]
        return answer


@contextmanager
def serve(api: StacApi) -> Iterator[StacApi]:
    """Serve `api` until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/search":
                query = {key: value[0] for key, value in parse_qs(parts.query).items()}
                self._search({**query, "intersects": json.loads(query["intersects"])})
            else:
                self._answer(200, _landing(api.url))

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self._search(json.loads(self.rfile.read(length)))

        def _search(self, body: dict[str, Any]) -> None:
            api.searches.append(body)
            if api.failures:
                self._answer(api.failures.pop(0), {"message": "not now"})
            else:
                self._answer(200, api.search(body))

        def _answer(self, status: int, document: dict[str, Any]) -> None:
            send(self, status, json.dumps(document).encode())

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    with listening(Handler) as url:
        api.url = url
        yield api


@contextmanager
def serve_files(
    answer: Callable[[str], bytes | int], sent: list[int] | None = None
) -> Iterator[str]:
    """Serve `answer(path)`: bytes with ranges, or a status; yield the root URL.

    The length of every body that goes out is added to `sent`.
    """
    lengths = [] if sent is None else sent

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = answer(self.path.lstrip("/"))
            if isinstance(body, int):
                send(self, body, b"")
                return
            wanted = self.headers.get("Range")
            if wanted is None:
                lengths.append(len(body))
                send(self, 200, body)
                return
            low, high = wanted.removeprefix("bytes=").split("-")
            part = body[int(low) : int(high) + 1]
            lengths.append(len(part))
            send(self, 206, part, f"bytes {low}-{int(low) + len(part) - 1}/{len(body)}")

        def do_HEAD(self) -> None:
            body = answer(self.path.lstrip("/"))
            send(self, body if isinstance(body, int) else 200, b"")

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    with listening(Handler) as url:
        yield url


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, content_range: str | None = None
) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Last-Modified", "Thu, 01 Jun 2023 10:00:00 GMT")
    if content_range is not None:
        handler.send_header("Content-Range", content_range)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def _landing(url: str) -> dict[str, Any]:
    return {
        "type": "Catalog", "id": "test", "description": "test", "stac_version": "1.0.0",
        "conformsTo": CONFORMS,
        "links": [
            {"rel": "self", "href": url},
            {"rel": "root", "href": url},
            {"rel": "search", "href": f"{url}/search", "type": "application/geo+json"},
            {"rel": "search", "href": f"{url}/search", "method": "POST",
             "type": "application/geo+json"},
        ],
    }  # fmt: skip
