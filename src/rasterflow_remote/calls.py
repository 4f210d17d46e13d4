"""One call of the client: a validated request, its progress, its result."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from landloom.display import WorkflowDisplay, print_plan
from landloom.errors import InvalidInput, LandloomError
from landloom.wire.requests import WorkflowRequest, workflow_request
from landloom.wire.results import WorkflowResult
from rasterflow_remote.backend import Backend
from rasterflow_remote.results import MosaicResult, UriResult


class Caller:
    """What all methods of the client share."""

    _backend: Backend
    _dry_run: bool
    _cache: bool

    def _mosaic(self, kind: str, **fields: Any) -> MosaicResult:
        return MosaicResult(self._run(kind, **fields))

    def _uri(self, kind: str, **fields: Any) -> UriResult:
        return UriResult(self._run(kind, **fields), self._backend.url)

    def _run(self, kind: str, **fields: Any) -> WorkflowResult:
        given = {"kind": kind, "cache": self._cache, "dry_run": self._dry_run, **fields}
        request = _validated(given)
        with WorkflowDisplay(kind) as display:
            try:
                result = self._backend.run(request, display.show, display.begun)
            except LandloomError:
                display.finish("FAILED")
                raise
        if result.plan is not None:
            print_plan(result.plan)
        display.finish("COMPLETED (cached)" if result.cached else "COMPLETED")
        return result


def _validated(given: dict[str, Any]) -> WorkflowRequest:
    try:
        return workflow_request.validate_python(given)
    except ValidationError as problem:
        first = problem.errors()[0]
        # The first part of `loc` is the kind that discriminates the union, no argument of theirs.
        field = ".".join(str(part) for part in first["loc"][1:])
        said = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"{given['kind']}: {field or 'request'}: {said}.") from problem
