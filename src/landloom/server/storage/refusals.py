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
    {
        "AccessDenied",
        "403",
        "Forbidden",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
    }
)
_ELSEWHERE: Final = frozenset(
    {
        "PermanentRedirect",
        "TemporaryRedirect",
        "301",
        "307",
        "AuthorizationHeaderMalformed",
        "AuthorizationQueryParametersError",
    }
)
"""Answers to who signs for a region, or asks at an endpoint, that is not the bucket's."""
_TAKEN: Final = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
_IN_THE_WAY: Final = frozenset(
    {"ObjectParentIsFile", "XMinioParentIsObject", "XMinioObjectExistsAsDirectory"}
)
"""Answers of versitygw and MinIO, which keep folders as folders, to `p` beside `p/q`."""
_BROKEN: Final = frozenset({"KeyTooLongError", "InvalidArgument", "InvalidURI", "400"})

type _Answer = tuple[frozenset[str], type[LandloomError], str, str]

_ANSWERS: Final[tuple[_Answer, ...]] = (
    (ABSENT, NotFound, "There is no object {uri}.", "Upload it first."),
    (
        _REFUSED,
        Forbidden,
        "The store gives no right to {uri}.",
        "Use what lies under USER_S3_PATH or USER_S3_SHARED_PATH.",
    ),
    (
        _ELSEWHERE,
        BadRequest,
        "The bucket of {uri} is in another region, or at another endpoint: {code}.",
        "Give the region and the endpoint of the bucket.",
    ),
    (_TAKEN, Conflict, "{uri} is there already.", ""),
    (
        _IN_THE_WAY,
        Conflict,
        "{uri} cannot be there: in this store a file and a folder cannot have the same name.",
        "Choose another name.",
    ),
    (_BROKEN, InvalidInput, "The object store takes no object {uri}: {code}.", ""),
    (
        frozenset({"NotImplemented"}),
        BadRequest,
        "The object store cannot do this with {uri}.",
        "",
    ),
)


def as_ours(code: str, uri: str) -> LandloomError:
    """Return the error for a code of S3, or an HTTP status where there was no code."""
    for codes, kind, message, suggestion in _ANSWERS:
        if code in codes:
            return kind(message.format(uri=uri, code=code), suggestion=suggestion)
    return Unavailable(f"The object store refused {uri}: {code}.")
