"""The route of what is on offer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request

from landloom.server.accounts.auth import having
from landloom.server.accounts.keys import Caller
from landloom.server.hints import service
from landloom.server.hints.schemas import JupyterConfigHint
from landloom.server.services import Services

router = APIRouter()


@router.get(
    "/me/jupyter/lab/config-hint",
    operation_id="getNotebookConfigHint",
    summary="List regions, runtimes and versions on offer",
    tags=["jupyter_lab"],
)
def read_config_hint(
    request: Request, _caller: Annotated[Caller, having("organization:read")]
) -> JupyterConfigHint:
    """Return what a run may ask for."""
    services: Services = request.app.state.services
    return service.config_hint(services.settings)
