"""One call of the client: a validated request, its progress, its result."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from landloom.errors import InvalidInput, LandloomError
from landloom.wire.plan import Plan
from landloom.wire.requests import WorkflowRequest, workflow_request
from landloom.wire.results import WorkflowResult
from rasterflow_remote.backend import Backend
from rasterflow_remote.progress import ProgressDisplay
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
        with ProgressDisplay(kind) as display:
            try:
                identity, result = self._backend.run(request, display.show)
            except LandloomError:
                display.finish("-", "FAILED")
                raise
        if result.plan is not None:
            _print_plan(result.plan)
        display.finish(identity, "COMPLETED")
        return result


def _validated(given: dict[str, Any]) -> WorkflowRequest:
    try:
        return workflow_request.validate_python(given)
    except ValidationError as problem:
        first = problem.errors()[0]
        # The first part of `loc` is the kind that discriminates the union, no argument of theirs.
        field = ".".join(str(part) for part in first["loc"][1:])
        raise InvalidInput(f"{given['kind']}: {field or 'request'}: {first['msg']}.") from problem


def _print_plan(plan: Plan) -> None:
    for number, mosaic in enumerate(plan.mosaics):
        height, width = mosaic.shape_yx
        scenes = ", ".join(f"{name} {count} scenes" for name, count in mosaic.scenes.items())
        print(  # noqa: T201 - a dry run prints its plan
            f"[rasterflow] plan: mosaic {number}: {mosaic.crs}, {height} x {width} px of"
            f" {mosaic.resolution:g}, {mosaic.tiles} tiles; {scenes}"
        )
    if plan.model:
        print(  # noqa: T201 - as above
            f"[rasterflow] plan: model {plan.model}, {plan.patches} patches"
        )
