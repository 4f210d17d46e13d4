"""Around every request: its id, bounds on it, one log line, a count, and the last resort.

Plain ASGI, outside of everything else, so that no answer can leave without its id.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import structlog

from landloom.errors import BadRequest, LandloomError, TooLarge
from landloom.server.kit.ids import new_id
from landloom.server.metrics.meters import Meters
from landloom.server.problems import error_response_body

type Scope = MutableMapping[str, Any]
type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type Admit = Callable[[Scope], Awaitable[None]]
"""Raises where a request may not have its body read."""
type App = Callable[[Scope, Receive, Send], Awaitable[None]]

REQUEST_ID: Final = "X-Request-Id"
_GIVEN_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_MAX_BODY_BYTES: Final = 4 * 1024 * 1024
"""A megabyte of arguments, with six bytes of JSON for two of text and room for the rest."""
_LARGE_BODIES: Final = {"/rasterflow/runs": 32 * 1024 * 1024}
"""An area of interest may come inline; larger ones belong in a file. The limits by path."""
_UNLOGGED: Final = {"/health"}
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""A client may send any word as its method; as a label, it may not."""

_log = structlog.get_logger("landloom.access")


class Access:
    """Wraps the application."""

    def __init__(self, app: App, *, meters: Meters, admit: Admit) -> None:
        self._app = app
        self._meters = meters
        self._admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(scope, receive, send, self._admit)
        with structlog.contextvars.bound_contextvars(request_id=request.id):
            await request.serve(self._app, self._meters)


class _Request:
    """One request on its way."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, admit: Admit) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._admit = admit
        self._admitted = False
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self._headers.get(REQUEST_ID.lower().encode(), b"")
        self.id = given.decode() if _GIVEN_ID.fullmatch(given) else new_id()
        method = scope["method"]
        self._method = method if method in _METHODS else "OTHER"
        self._status = 0
        self._received = 0
        self._max_bytes = _LARGE_BODIES.get(scope["path"], _MAX_BODY_BYTES)
        scope.setdefault("state", {})["request_id"] = self.id

    async def serve(self, app: App, meters: Meters) -> None:
        begun = time.perf_counter()
        try:
            length = self._headers.get(b"content-length", b"0")
            if length.isdigit() and int(length) > self._max_bytes:
                raise _too_large(self._max_bytes)
            if "\0" in self._scope["path"] or b"%00" in self._scope["query_string"]:
                raise BadRequest("The URL holds a NUL character.")
            await app(self._scope, self._counted_receive, self._marked_send)
        except Exception as problem:
            if not isinstance(problem, LandloomError):
                _log.exception("request failed", path=self._scope["path"])
            if self._status:
                raise
            await self._answer(problem)
        finally:
            seconds = time.perf_counter() - begun
            meters.count(self._method, _route(self._scope), self._status, seconds)
            if self._scope["path"] not in _UNLOGGED:
                _log.info(
                    "request",
                    method=self._scope["method"],
                    path=self._scope["path"],
                    status=self._status,
                    milliseconds=round(1000 * seconds, 1),
                )

    async def _counted_receive(self) -> Message:
        # The framework reads a body before it asks who sent it. To read and to parse one costs a
        # hundred times what it takes to send it: that is done for those alone who have a key.
        if not (self._admitted or self._status):
            await self._admit(self._scope)
            self._admitted = True
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self._max_bytes:
            raise _too_large(self._max_bytes)
        return message

    async def _marked_send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = [
                *message.get("headers", []),
                (REQUEST_ID.encode(), self.id.encode()),
            ]
        await self._send(message)

    async def _answer(self, problem: Exception) -> None:
        status, body = error_response_body(problem, path=self._scope["path"], request_id=self.id)
        start = {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ],
        }
        await self._marked_send(start)
        await self._send({"type": "http.response.body", "body": body})


def _route(scope: Scope) -> str:
    """Return the template of the path; what is nowhere has none of its own."""
    return str(getattr(scope.get("route"), "path", "") or "elsewhere")


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(
        f"The request is larger than {max_bytes // 1024**2} MiB.",
        suggestion="Put large things into a file in USER_S3_PATH and send its URL.",
    )
