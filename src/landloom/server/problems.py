"""Errors as the API words them: `{"errors": [...], "requestId": ...}`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from landloom.errors import (
    AccountClosed,
    BadRequest,
    Conflict,
    Forbidden,
    InvalidInput,
    LandloomError,
    NotFound,
    QuotaExceeded,
    TooLarge,
    Unauthorized,
)
from landloom.server.kit.camel import CamelModel
from landloom.server.kit.digests import without_secrets

_BY_STATUS: Final = {
    kind.status: kind.code
    for kind in (BadRequest, Unauthorized, Forbidden, NotFound, Conflict, TooLarge, InvalidInput)
} | {429: "RATE_LIMIT_ERROR", 502: "BAD_GATEWAY_ERROR", 504: "GATEWAY_TIMEOUT_ERROR"}
_INTERNAL: Final = "INTERNAL_SERVER_ERROR"
_SERVER_SIDE: Final = 500
_PUBLIC_CODES: Final = frozenset({*_BY_STATUS.values(), AccountClosed.code, QuotaExceeded.code})

NO_JSON: Final = "The body is not told to be JSON: send the header Content-Type: application/json."
"""What to say of a body that was taken for bytes; curl's `-d` calls it a form."""


class ErrorInfo(CamelModel):
    """One error."""

    code: str
    message: str
    details: str
    path: str
    suggestion: str = ""
    field: str | None = None
    documentation_url: str | None = None


class ErrorBody(CamelModel):
    """The body of every answer from 400 on."""

    errors: list[ErrorInfo]
    request_id: str


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with one field of a request."""

    field: str | None
    message: str


class InvalidFields(InvalidInput):
    """Fields of a request are wrong."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = tuple(problems)


def describe_field_errors(errors: Sequence[Any]) -> list[FieldProblem]:
    """Return pydantic's errors as sentences, each with the path of its field."""
    return [_field_problem(error) for error in errors]


def code_of(status: int) -> str:
    """Return the code that goes with an HTTP status."""
    return _BY_STATUS.get(status, _INTERNAL if status >= _SERVER_SIDE else BadRequest.code)


def error_response_body(problem: Exception, *, path: str, request_id: str) -> tuple[int, bytes]:
    """Return status and body for an error; what is not ours is never quoted."""
    if isinstance(problem, InvalidFields):
        return problem.status, body(
            [
                _info(problem.code, each.message, path, field=each.field)
                for each in problem.problems
            ],
            request_id,
        )
    if isinstance(problem, LandloomError):
        code = problem.code if problem.code in _PUBLIC_CODES else code_of(problem.status)
        info = _info(code, problem.message, path, problem.suggestion, problem.field)
        return problem.status, body([info], request_id)
    info = _info(
        _INTERNAL,
        "The server failed on this request.",
        path,
        f"Look for request id {request_id} in the server's log.",
    )
    return _SERVER_SIDE, body([info], request_id)


def status_body(status: int, message: str, *, path: str, request_id: str) -> bytes:
    """Return the body for an error that is known by its HTTP status alone."""
    return body([_info(code_of(status), message, path)], request_id)


def body(errors: Sequence[dict[str, Any]], request_id: str) -> bytes:
    """Return an error body. ASCII, for what a client sent may not be encodable otherwise.

    Errors quote what was sent; a key that was sent in the wrong place is not quoted.
    """
    text = json.dumps({"errors": list(errors), "requestId": request_id})
    return without_secrets(text).encode()


def _info(
    code: str, message: str, path: str, suggestion: str = "", field: str | None = None
) -> dict[str, Any]:
    info = {
        "code": code,
        "message": message,
        "details": message,
        "path": path,
        "suggestion": suggestion,
    }
    return info if field is None else info | {"field": field}


def _field_problem(error: Any) -> FieldProblem:
    where, *path = [str(part) for part in error["loc"]] or [""]
    if where not in {"body", "query", "path", "header"}:
        path = [where, *path]
    if where == "query":
        # A repeated parameter is numbered inside; clients know one name.
        path = path[:1]
    if error["type"] == "json_invalid":
        return FieldProblem(None, "The body is not JSON.")
    if where == "body" and isinstance(error["input"], bytes):
        return FieldProblem(None, NO_JSON)
    field = ".".join(part for part in path if part) or None
    message = str(error["msg"]).removeprefix("Value error, ")
    return FieldProblem(field, f"{field}: {message}" if field else f"The {where}: {message}")
