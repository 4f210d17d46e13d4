"""Where a workflow is done: on a server over HTTP, or in this process.

`choose_backend` decides once, when a client is made: a server where `LANDLOOM_URL` names one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from landloom.errors import Unauthorized
from landloom.wire.progress import ProgressEvent
from landloom.wire.requests import WorkflowRequest
from landloom.wire.results import WorkflowResult
from rasterflow_remote.local import LocalBackend
from rasterflow_remote.server import ServerBackend


class Backend(Protocol):
    """Does one workflow at a time."""

    @property
    def url(self) -> str | None:
        """The server's URL; None for in-process work."""

    def run(
        self,
        request: WorkflowRequest,
        show: Callable[[ProgressEvent], None],
        begun: Callable[[str], None],
    ) -> WorkflowResult:
        """Do the work, showing each step, and return what it made.

        `begun` is told the workflow's id as soon as there is one: work that fails has one, too.

        Ctrl-C, or any other exception while waiting, cancels the workflow before it propagates.

        Raises:
            LandloomError: The workflow failed; the error says what the engine said.
        """


def choose_backend() -> Backend:
    """Return the backend that the environment asks for.

    Raises:
        Unauthorized: `LANDLOOM_URL` is set and `WHEROBOTS_API_KEY` is not.
    """
    url = os.environ.get("LANDLOOM_URL", "").strip()
    if not url:
        return LocalBackend()
    key = os.environ.get("WHEROBOTS_API_KEY", "").strip()
    if not key:
        raise Unauthorized(
            f"LANDLOOM_URL names {url}, but WHEROBOTS_API_KEY is not set.",
            suggestion="Source the connection.env that `landloom up` wrote, or unset LANDLOOM_URL"
            " to work in this process.",
        )
    return ServerBackend(url, key)
