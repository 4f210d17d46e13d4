"""Workflows on a Landloom server, followed over server-sent events.

A server may be killed and come back while a workflow goes on, so a broken connection is not an
error until the server has been away for `PATIENCE` seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx

from landloom import errors
from landloom.wire.enums import WorkflowStatus
from landloom.wire.progress import ProgressEvent
from landloom.wire.requests import WorkflowRequest
from landloom.wire.results import WorkflowResult, WorkflowView

PATIENCE = 300.0
"""Seconds for which a silent server is waited for."""

_RETRY = frozenset({429, 500, 502, 503, 504})
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
# The server pings each 10 s, so half a minute of silence means that nobody is there.
_STREAM_TIMEOUT = httpx.Timeout(30.0, read=35.0)


class ServerBackend:
    """Submits workflows to a server and follows them."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        transport: httpx.BaseTransport | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.url = url.rstrip("/")
        self._patience = patience
        headers = {"X-API-Key": key, "X-Wherobots-Client": "client=rasterflow_remote;ver=0.1.0"}
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=_TIMEOUT, transport=transport
        )

    def run(
        self,
        request: WorkflowRequest,
        show: Callable[[ProgressEvent], None],
        begun: Callable[[str], None],
    ) -> WorkflowResult:
        """Do the work on the server; see `Backend.run`."""
        created = self._ask("POST", "/rasterflow/runs", body=request.model_dump(mode="json"))
        identity = WorkflowView.model_validate(created).id
        begun(identity)
        try:
            view = self._follow(identity, show)
        except BaseException:
            # Whatever ended the wait (Ctrl-C, a kill, a bug) must not leave the work running.
            with suppress(httpx.HTTPError, errors.LandloomError):
                self._http.delete(f"/rasterflow/runs/{identity}", timeout=10.0)
            raise
        if view.status is WorkflowStatus.COMPLETED and view.result is not None:
            return view.result
        raise _failure(view)

    def _follow(self, identity: str, show: Callable[[ProgressEvent], None]) -> WorkflowView:
        after = -1
        silent_since = time.monotonic()
        while True:
            try:
                for name, data in self._events(identity, after):
                    silent_since = time.monotonic()
                    if name == "end":
                        return WorkflowView.model_validate_json(data)
                    event = ProgressEvent.model_validate_json(data)
                    if event.seq > after:
                        after = event.seq
                        show(event)
                # The stream may end without `end` when the server is going down.
            except httpx.HTTPError:
                if time.monotonic() - silent_since > self._patience:
                    raise errors.Unavailable(
                        f"The server at {self.url} has not answered for {self._patience:.0f} s"
                        f" while workflow {identity} was running.",
                        suggestion="Start it again with `landloom up`; the workflow goes on there.",
                    ) from None
            time.sleep(0.5)

    def _events(self, identity: str, after: int) -> Iterator[tuple[str, str]]:
        path = f"/rasterflow/runs/{identity}/events"
        with self._http.stream(
            "GET", path, params={"after": after}, timeout=_STREAM_TIMEOUT
        ) as response:
            if response.status_code in _RETRY:
                raise httpx.TransportError(f"HTTP {response.status_code}")
            if response.is_error:
                response.read()
                raise _problem(response)
            name = "message"
            for line in response.iter_lines():
                field, _, value = line.partition(":")
                if field == "event":
                    name = value.strip()
                elif field == "data":
                    yield name, value.strip()

    def _ask(self, method: str, path: str, *, body: dict[str, Any]) -> Any:
        # The same key on each try lets the server see that a repeated POST is the same one.
        headers = {"Idempotency-Key": str(uuid4())}
        give_up = time.monotonic() + self._patience
        pause = 0.2
        while True:
            try:
                response = self._http.request(method, path, json=body, headers=headers)
                if response.status_code not in _RETRY or time.monotonic() > give_up:
                    break
            except httpx.HTTPError as problem:
                if time.monotonic() > give_up:
                    raise errors.Unavailable(
                        f"No Landloom server answers at {self.url}: {problem}.",
                        suggestion="Check LANDLOOM_URL, and that `landloom up` is running.",
                    ) from problem
            time.sleep(pause)
            pause = min(2 * pause, 5.0)
        if response.is_error:
            raise _problem(response)
        return response.json()


def _problem(response: httpx.Response) -> errors.LandloomError:
    """Return the error that a response's body tells of."""
    try:
        first = response.json()["errors"][0]
        code, message = str(first["code"]), str(first["message"])
    except (ValueError, LookupError, TypeError):
        return errors.Unavailable(
            f"{response.request.url} answered HTTP {response.status_code}"
            f" and no Landloom error: {response.text[:200]!r}.",
            suggestion="Check that LANDLOOM_URL names a Landloom server.",
        )
    details = str(first.get("details") or "")
    if details and details not in message:
        message = f"{message} {details}"
    return errors.by_code(code)(message, suggestion=str(first.get("suggestion") or ""))


def _failure(view: WorkflowView) -> errors.LandloomError:
    """Return the error that ended a workflow."""
    if view.error is not None:
        kind = errors.by_code(view.error.code)
        return kind(
            f"Workflow {view.id} failed: {view.error.message}", suggestion=view.error.suggestion
        )
    if view.status is WorkflowStatus.CANCELLED:
        return errors.Cancelled(f"Workflow {view.id} was cancelled.")
    return errors.WorkflowError(f"Workflow {view.id} ended as {view.status}. {view.message}")
