"""Turns whatever a request raised into the API's error body."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from landloom.errors import LandloomError
from landloom.server import problems
from landloom.server.db.away import is_away
from landloom.server.problems import InvalidFields

_JSON = "application/json"


def install(app: FastAPI) -> None:
    """Answer every error of `app` in the API's own words."""
    app.add_exception_handler(LandloomError, _on_landloom_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_landloom_error(request: Request, problem: Exception) -> Response:
    status, body = problems.error_response_body(
        problem, path=request.url.path, request_id=_request_id(request)
    )
    return Response(body, status_code=status, media_type=_JSON)


async def _on_invalid_request(request: Request, problem: Exception) -> Response:
    errors = problem.errors() if isinstance(problem, RequestValidationError) else []
    return await _on_landloom_error(request, InvalidFields(problems.describe_field_errors(errors)))


async def _on_http_exception(request: Request, problem: Exception) -> Response:
    # What broke off the reading of a body comes wrapped: the bound on its size, who may not send
    # one, or a database that cannot be asked who that is. A 400 would be for the client to mend.
    cause = problem.__cause__
    if isinstance(cause, LandloomError) or (isinstance(cause, Exception) and is_away(cause)):
        return await _on_landloom_error(request, cause)
    status, headers, detail = 500, None, ""
    if isinstance(problem, HTTPException):
        status, headers, detail = problem.status_code, problem.headers, str(problem.detail)
    body = problems.status_body(
        status,
        _sentence(request, status, detail),
        path=request.url.path,
        request_id=_request_id(request),
    )
    return Response(body, status_code=status, headers=headers, media_type=_JSON)


def _sentence(request: Request, status: int, detail: str) -> str:
    match status:
        case 404:
            return f"There is nothing at {request.url.path}."
        case 405:
            return f"{request.url.path} does not take {request.method}."
        case _:
            return detail or f"HTTP status {status}."


def _request_id(request: Request) -> str:
    return str(request.state.request_id)
