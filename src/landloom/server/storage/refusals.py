"""What a store says no by, in our words."""

from __future__ import annotations

from typing import Final

from landloom.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    InvalidInput,
    LandloomError,
    NotFound,
    Unavailable,
)

ABSENT: Final = frozenset({"NoSuchKey", "NoSuchBucket", "404", "NotFound"})
_REFUSED: Final = frozenset(
    {"AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
)
_TAKEN: Final = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
_BROKEN: Final = frozenset({"KeyTooLongError", "InvalidArgument", "InvalidURI", "400"})


def as_ours(code: str, uri: str) -> LandloomError:
    """Return the error for a code of S3, or an HTTP status where there was no code."""
    if code in ABSENT:
        return NotFound(f"There is no object {uri}.", suggestion="Upload it first.")
    if code in _REFUSED:
        return Forbidden(
            f"The store gives no right to {uri}.",
            suggestion="Use what lies under USER_S3_PATH or USER_S3_SHARED_PATH.",
        )
    if code in _TAKEN:
        return Conflict(f"{uri} is there already.")
    if code in _BROKEN:
        return InvalidInput(f"The object store takes no object {uri}: {code}.")
    if code == "NotImplemented":
        return BadRequest(f"The object store cannot do this with {uri}.")
    return Unavailable(f"The object store refused {uri}: {code}.")
