"""Finds out who sent a request, by `X-API-Key` or `Authorization: Bearer`."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from landloom.errors import NotFound, Unauthorized
from landloom.server.accounts.keys import Caller, Keys

_bearer = HTTPBearer(scheme_name="bearerToken", auto_error=False)
_header = APIKeyHeader(name="X-API-Key", scheme_name="wherobotsApiKey", auto_error=False)


async def caller(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header: Annotated[str | None, Security(_header)],
) -> Caller:
    """Return the caller.

    Raises:
        Unauthorized: No key was sent, or it opens nothing.
    """
    key = (header or (bearer.credentials if bearer else "")).strip()
    if not key:
        raise Unauthorized(
            "No API key was sent.",
            suggestion="Send it as the header X-API-Key, or as Authorization: Bearer.",
        )
    keys: Keys = request.app.state.services.keys
    return await keys.recognise(key)


async def admit(scope: MutableMapping[str, Any]) -> None:
    """Do nothing if a request, as ASGI describes it, was sent with a key.

    Raises:
        Unauthorized: No key was sent, or it opens nothing.
    """
    request = Request(scope)
    await caller(request, await _bearer(request), await _header(request))


def having(right: str) -> Any:
    """Return what makes an endpoint's parameter a caller with this right at the request's path.

    Rights that begin with `platform:` are about the platform itself. Whoever does not belong to
    the organization that runs it, an administrator elsewhere too, does not see those routes.
    """
    is_platforms = right.startswith("platform:")

    async def permitted(request: Request, found: Annotated[Caller, Depends(caller)]) -> Caller:
        if is_platforms and not found.operates:
            raise NotFound(f"There is nothing at {request.url.path}.")
        found.rights.require(right, request.url.path.lstrip("/"))
        return found

    return Depends(permitted)
