"""`connection.env`: how a client reaches a platform, as `KEY=value` lines.

A POSIX shell can source it and env-file parsers can read it: a value is bare where every character
is harmless, and in single quotes otherwise. Values that would need more than that are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from landloom.errors import InvalidInput, SetupProblem
from landloom.stack.files import write_private

UNQUOTABLE = frozenset("'\\\n\r\0")
"""Characters that shells and env-file parsers read differently, even in single quotes."""

_HARMLESS = re.compile(r"[A-Za-z0-9_@%+=:,./-]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def write_connection(path: Path, variables: Mapping[str, str]) -> None:
    """Write the file, in one step, for its owner alone.

    Raises:
        InvalidInput: A name or a value cannot be written so that every reader agrees.
    """
    header = "# Made by `landloom up`. Use it with: set -a; . connection.env; set +a\n"
    lines = [f"{name}={_quoted(name, value)}\n" for name, value in variables.items()]
    write_private(path, header + "".join(lines))


def read_connection(path: Path) -> dict[str, str]:
    """Return the variables of a file that `write_connection` wrote.

    Raises:
        SetupProblem: There is no such file, or it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SetupProblem(
            f"The connection file {path} cannot be read ({reason}).",
            suggestion="Start the platform with `landloom up --data DIR`, which writes it.",
        ) from error
    found = {}
    for line in text.split("\n"):
        name, separator, value = line.partition("=")
        if separator and _NAME.fullmatch(name.strip()):
            found[name.strip()] = _unquoted(value.strip())
    return found


def _quoted(name: str, value: str) -> str:
    if not _NAME.fullmatch(name) or UNQUOTABLE & set(value):
        raise InvalidInput(
            f"{name}={value!r} cannot be written to an env file.",
            suggestion="Choose a path without quotes, backslashes or line ends.",
        )
    return value if _HARMLESS.fullmatch(value) else f"'{value}'"


def _unquoted(value: str) -> str:
    for quote in "'\"":
        if len(value) > 1 and value[0] == value[-1] == quote:
            return value[1:-1]
    return value
