"""Names of objects and folders as clients send them: right, or a clear refusal."""

from __future__ import annotations

from typing import Final

from landloom.errors import InvalidInput
from landloom.server.kit.text import plain
from landloom.server.storage.layout import SCHEME

LONGEST_KEY_BYTES: Final = 1024
"""Of a whole key in UTF-8, by S3."""
LONGEST_NAME_BYTES: Final = 255
"""Of one level of it: what stores that keep folders as folders can hold."""

_FIRST_PRINTABLE: Final = " "
_DELETE: Final = "\x7f"


def clean_path(path: str, *, field: str) -> str:
    """Return a path within a store as its key, without slashes in front.

    A slash at its end stays: it names a folder. The empty path is the root.

    Raises:
        InvalidInput: A level is empty, `.` or `..`, or holds a control character.
    """
    key = path.lstrip("/")
    if not key:
        return ""
    try:
        plain(key)
    except ValueError as problem:
        raise InvalidInput(f"{field} {problem}.", field=field) from problem
    for level in key.removesuffix("/").split("/"):
        if level in {"", ".", ".."}:
            raise InvalidInput(
                f"{field}: {path[:200]!r} has a level {level!r}, which names nothing.",
                suggestion="Name each folder, once, with one slash between two of them.",
                field=field,
            )
        if any(character < _FIRST_PRINTABLE or character == _DELETE for character in level):
            raise InvalidInput(
                f"{field}: {level[:200]!r} holds a control character.",
                suggestion="Use characters that can be printed.",
                field=field,
            )
    return key


def within_limits(key: str, *, field: str) -> str:
    """Return a whole key that something may be written to.

    Raises:
        InvalidInput: It, or a level of it, is too long, or it holds a backslash: some stores make
            a slash of it.
    """
    if "\\" in key:
        raise InvalidInput(
            f"{field}: {key[:200]!r} holds a backslash.",
            suggestion="Separate folders by `/`, and use another character in names.",
            field=field,
        )
    size = len(key.encode())
    if size > LONGEST_KEY_BYTES:
        raise InvalidInput(
            f"{field}: the whole key is {size} bytes long; S3 takes {LONGEST_KEY_BYTES}.",
            suggestion="Shorten the names of the folders or of the file.",
            field=field,
        )
    for level in key.split("/"):
        if len(level.encode()) > LONGEST_NAME_BYTES:
            raise InvalidInput(
                f"{field}: the name {level[:40]!r}... is longer than {LONGEST_NAME_BYTES} bytes.",
                suggestion="Shorten it, or make folders of its parts.",
                field=field,
            )
    return key


def file_key(key: str, *, field: str) -> str:
    """Return a key that names a file.

    Raises:
        InvalidInput: It names a folder, or nothing.
    """
    if not key or key.endswith("/"):
        raise InvalidInput(
            f"{field}: {key!r} names a folder, not a file.",
            suggestion="Leave the slash at the end away, or use what works on folders.",
            field=field,
        )
    return key


def folder_key(key: str) -> str:
    """Return a key as that of a folder: ending with `/`, or empty for the root."""
    return f"{key.rstrip('/')}/" if key else ""


def folders_above(key: str, prefix: str) -> list[str]:
    """Return the folders between `prefix`, which ends with `/`, and an object below it."""
    levels = key.removeprefix(prefix).split("/")[:-1]
    return [prefix + "/".join(levels[: depth + 1]) + "/" for depth in range(len(levels))]


def single_name(name: str, *, field: str) -> str:
    """Return the name of one file or folder.

    Raises:
        InvalidInput: It is none, or a path.
    """
    if "/" in name or clean_path(name, field=field) != name or not name:
        raise InvalidInput(
            f"{field}: {name[:200]!r} is not the name of one file.",
            suggestion="Give a name without slashes.",
            field=field,
        )
    return name


def bucket_and_key(text: str, *, field: str) -> tuple[str, str]:
    """Return bucket and key of `bucket/key`, with or without `s3://` in front.

    Raises:
        InvalidInput: There is no bucket, or the key names nothing.
    """
    bucket, _, key = text.removeprefix(SCHEME).lstrip("/").partition("/")
    if not bucket:
        raise InvalidInput(
            f"{field}: {text[:200]!r} names no bucket.",
            suggestion="Write it as bucket/folder/file.",
            field=field,
        )
    return clean_path(bucket, field=field), clean_path(key, field=field)


def last_name(key: str) -> str:
    """Return the name of an object or folder: the last level of its key."""
    return key.rstrip("/").rsplit("/", 1)[-1]
