"""The error tree: every failure Landloom reports on purpose, with a stable code and a way out.

LandloomError
├── InvalidInput            422  the request's shape or a value in it is wrong
├── BadRequest              400  the request cannot be understood (a broken cursor)
├── Unauthorized            401  no key, or one that is unknown, revoked or expired
├── Forbidden               403  the caller is known and may not do this
│   ├── AccountClosed        403  the caller's account, or its organization, is switched off
│   └── QuotaExceeded        403  as much is stored as may be
├── NotFound                404  nothing by this name that the caller may see
├── Conflict                409  the thing exists, or is in use
├── TooLarge                413  more bytes than this accepts
├── Unavailable             503  a part this needs does not answer
├── SetupProblem                 this machine is not ready (port taken, folder not writable)
└── WorkflowError                a raster workflow failed
    ├── SceneReadFailed          a scene's asset could not be read after all retries
    ├── ModelUnavailable         a model file is not here and could not be fetched
    ├── ModelRejected            a model file is here and cannot be used
    ├── CatalogProblem           a dataset or recipe entry is wrong, or there is none by that name
    ├── StoreProblem             a Zarr or GeoParquet store cannot be read or written
    └── Cancelled                somebody asked for the end
"""

from __future__ import annotations

from typing import ClassVar


class LandloomError(Exception):
    """Say what went wrong, name the thing, and tell the way out.

    Attributes:
        code: Stable machine-readable name of the kind of error.
        status: HTTP status with which the API reports it.
        message: One sentence that names the thing.
        suggestion: What to do about it; may be empty.
        field: Path of the offending request field, or None.
    """

    code: ClassVar[str] = "INTERNAL_SERVER_ERROR"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, suggestion: str = "", field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion
        self.field = field

    def __str__(self) -> str:
        return f"{self.message} {self.suggestion}".strip()


class InvalidInput(LandloomError, ValueError):
    """The request's shape, or a value in it, is wrong."""

    code = "INVALID_INPUT_ERROR"
    status = 422


class BadRequest(LandloomError):
    """The request cannot be understood."""

    code = "BAD_REQUEST_ERROR"
    status = 400


class Unauthorized(LandloomError):
    """No key was sent, or it is unknown, revoked or expired."""

    code = "UNAUTHORIZED_ERROR"
    status = 401


class Forbidden(LandloomError):
    """The caller is known and may not do this."""

    code = "INSUFFICIENT_PERMISSIONS_ERROR"
    status = 403


class AccountClosed(Forbidden):
    """The caller's account, or its organization, is switched off."""

    code = "ACCOUNT_NOT_PROVISIONED"


class QuotaExceeded(Forbidden):
    """As much is stored as the caller, or the organization, may store."""

    code = "INSUFFICIENT_QUOTA_ERROR"


class NotFound(LandloomError):
    """Nothing by this name is visible to the caller."""

    code = "NOT_FOUND_ERROR"
    status = 404


class Conflict(LandloomError):
    """The thing exists already, or is in use."""

    code = "CONFLICT_ERROR"
    status = 409


class TooLarge(LandloomError):
    """More bytes than this accepts."""

    code = "REQUEST_ENTITY_TOO_LARGE"
    status = 413


class Unavailable(LandloomError):
    """A part this needs does not answer."""

    code = "SERVICE_UNAVAILABLE"
    status = 503


class SetupProblem(LandloomError):
    """This machine, or this folder, is not ready for what was asked."""

    code = "SETUP_PROBLEM"


class WorkflowError(LandloomError):
    """A raster workflow failed."""

    code = "WORKFLOW_FAILED"


class SceneReadFailed(WorkflowError):
    """A scene's asset could not be read after all retries."""

    code = "SCENE_READ_FAILED"


class ModelUnavailable(WorkflowError):
    """A model file is not on this machine and could not be fetched."""

    code = "MODEL_UNAVAILABLE"


class ModelRejected(WorkflowError):
    """A model file is on this machine and cannot be used."""

    code = "MODEL_REJECTED"


class CatalogProblem(WorkflowError, ValueError):
    """A dataset or recipe entry is wrong, or there is none by that name."""

    code = "CATALOG_PROBLEM"


class StoreProblem(WorkflowError):
    """A Zarr or GeoParquet store cannot be read or written."""

    code = "STORE_PROBLEM"


class Cancelled(WorkflowError):
    """Somebody asked for the end of this workflow."""

    code = "CANCELLED"


def sentence(error: LandloomError) -> str:
    """Return an error as one sentence: what is wrong, and after a colon the way out."""
    if not error.suggestion:
        return f"landloom: {error.message}"
    way_out = error.suggestion[0].lower() + error.suggestion[1:]
    return f"landloom: {error.message.rstrip('.')}: {way_out}"


def by_code(code: str) -> type[LandloomError]:
    """Return the class of this tree that carries `code`, or WorkflowError where none does."""
    pending: list[type[LandloomError]] = [LandloomError]
    while pending:
        kind = pending.pop()
        # Other modules' subclasses may inherit a code; here it stands for its own class.
        if kind.__module__ == __name__ and kind.code == code:
            return kind
        pending.extend(kind.__subclasses__())
    return WorkflowError
