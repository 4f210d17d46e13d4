"""Names and versions of packages, checked before a run is accepted.

The grammars are those of the Python packaging user guide: distribution names (PEP 508) and
version specifiers (PEP 440).
"""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = re.compile(
    r"[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?(?:\[[A-Z0-9._-]+(?:,[A-Z0-9._-]+)*\])?", re.IGNORECASE
)
_RELEASE: Final = r"v?(?:\d+!)?\d+(?:\.\d+)*"
_SUFFIX: Final = (
    r"(?:[-_.]?(?:alpha|a|beta|b|preview|pre|c|rc)[-_.]?\d*)?"
    r"(?:-\d+|[-_.]?(?:post|rev|r)[-_.]?\d*)?"
    r"(?:[-_.]?dev[-_.]?\d*)?"
)
_LOCAL: Final = r"(?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?"
_VERSION: Final = re.compile(_RELEASE + _SUFFIX + _LOCAL, re.IGNORECASE)
_CLAUSE: Final = re.compile(
    rf"(?:[=!]=\s*{_RELEASE}(?:\.\*|{_SUFFIX}{_LOCAL})"
    rf"|(?:~=|<=|>=|<|>)\s*{_RELEASE}{_SUFFIX}"
    r"|===\s*(?:(?![,;)])[!-~])+)",
    re.IGNORECASE,
)

_MOST_QUOTED: Final = 200


def check_name(name: str) -> str:
    """Return the name of a distribution, extras allowed.

    Raises:
        ValueError: It is not one.
    """
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:_MOST_QUOTED]!r} is not the name of a package")
    return name


def check_version(version: str | None) -> str | None:
    """Return a version or specifier, or None where any version will do.

    Raises:
        ValueError: It is neither.
    """
    version = (version or "").strip()
    if not version:
        return None
    if _VERSION.fullmatch(version):
        return version
    if all(_CLAUSE.fullmatch(clause.strip()) for clause in version.split(",")):
        return version
    raise ValueError(
        f"{version[:_MOST_QUOTED]!r} is neither a version (1.5.3) nor a version specifier (>=2,<3)"
    )
