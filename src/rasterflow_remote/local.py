"""Workflows in this process: the engine as a library, without a server."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from pathlib import Path

from landloom.errors import WorkflowError
from landloom.wire.progress import ProgressEvent
from landloom.wire.requests import WorkflowRequest
from landloom.wire.results import WorkflowResult


class LocalBackend:
    """Runs the engine here."""

    url = None

    def run(
        self,
        request: WorkflowRequest,
        show: Callable[[ProgressEvent], None],
        begun: Callable[[str], None],
    ) -> WorkflowResult:
        """Do the work; see `Backend.run`. Ctrl-C ends it between two tiles."""
        try:
            # Heavy, and an optional extra.
            from landloom.raster.settings import EngineSettings  # noqa: PLC0415
            from landloom.raster.workflow import run  # noqa: PLC0415
        except ModuleNotFoundError as missing:
            raise WorkflowError(
                f"There is no server (LANDLOOM_URL is not set) and no engine here: {missing}.",
                suggestion="Source the connection.env of a running `landloom up`,"
                " or install the engine: pip install 'landloom[raster]'.",
            ) from missing
        identity = _new_id()
        begun(identity)
        settings = EngineSettings.from_environment()
        settings = settings.writing_to(f"{settings.output_uri}{identity}/")
        if request.bucket is not None and request.bucket.startswith((".", "~")):
            # No bucket's name begins so: it is a folder of this machine, wherever it is named from.
            folder = Path(request.bucket).expanduser().resolve()
            request = request.model_copy(update={"bucket": str(folder)})
        return run(request, settings=settings, seed=identity, show=show)


def _new_id() -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(20))
