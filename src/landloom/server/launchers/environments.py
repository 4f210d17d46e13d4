"""The environments that versions name: `latest` and `preview` are locked files of requirements.

A locked file is what `uv pip compile --generate-hashes` writes, with a line `# version: 1.4.0` at
its head. Where the operator names none, the version is this platform's own, and its environment
that of the job interpreter.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from landloom.errors import InvalidInput, SetupProblem
from landloom.server.launchers.installer import DependencyProblem, install, sentence
from landloom.server.launchers.virtualenvs import make_environment

LATEST: Final = "latest"
PREVIEW: Final = "preview"
_DEFAULT_SECONDS: Final = 1800.0
_VERSION: Final = re.compile(
    r"^#\s*version:\s*([A-Za-z0-9][A-Za-z0-9.+_-]{0,63})\s*$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class LockedEnvironment:
    """What a version stands for."""

    version: str
    lock: Path | None = None
    """None is the job interpreter's own environment."""
    digest: str = ""
    """Of the locked file."""


def locked_environments(files: Mapping[str, Path]) -> dict[str, LockedEnvironment]:
    """Return what `latest` and `preview` name; one that is not given names what the other does.

    Raises:
        SetupProblem: A file cannot be read, has no version, or has another's version.
    """
    own = _own()
    named = {alias: _read(path) for alias, path in sorted(files.items())}
    latest = named.get(LATEST, own)
    found = {LATEST: latest, PREVIEW: named.get(PREVIEW, latest)}
    for one in found.values():
        for other in found.values():
            if one.version == other.version and one.digest != other.digest:
                raise SetupProblem(
                    f"{one.lock or 'the platform itself'} and {other.lock or 'the platform itself'}"
                    f" are different environments, and both say that they are {one.version}.",
                    suggestion="Give each locked file a version of its own.",
                )
    return found


async def ensure_environment(
    environment: LockedEnvironment,
    *,
    python: Path,
    cache_dir: Path,
    timeout_seconds: float = _DEFAULT_SECONDS,
) -> tuple[Path, tuple[str, ...]]:
    """Return (the environment's interpreter, what the installer printed); make it the first time.

    Raises:
        DependencyProblem: It cannot be made, or not within `timeout_seconds`.
    """
    lock = environment.lock
    if lock is None:
        return python, ()
    folder = cache_dir / "environments" / f"{environment.version}-{environment.digest[:16]}"

    async def fill(interpreter: Path) -> list[str]:
        status, output = await install(
            "pip", "sync", "--link-mode", "copy", "--python", str(interpreter), str(lock)
        )
        if status:
            raise DependencyProblem(
                f"The environment {environment.version} cannot be made: {sentence(output)}",
                suggestion="Tell the operator: its locked file cannot be installed.",
                lines=output,
            )
        return output

    try:
        async with asyncio.timeout(timeout_seconds):
            return await make_environment(folder, python, fill)
    except TimeoutError as problem:
        raise DependencyProblem(
            f"Making the environment {environment.version} took longer than {timeout_seconds:g}"
            " seconds.",
            suggestion="Tell the operator: its packages may come from an index that hangs.",
        ) from problem


def find_version(name: str, environments: Mapping[str, LockedEnvironment]) -> LockedEnvironment:
    """Return the environment by an alias or by its version.

    Raises:
        InvalidInput: There is none by this name.
    """
    for alias, environment in environments.items():
        if name in {alias, environment.version}:
            return environment
    names = sorted({*environments, *(each.version for each in environments.values())})
    raise InvalidInput(
        f"There is no version {name!r} here.",
        suggestion=f"Choose one of {', '.join(names)}.",
        field="version",
    )


@functools.cache
def _own() -> LockedEnvironment:
    return LockedEnvironment(importlib.metadata.version("landloom"))


@functools.cache
def _read(path: Path) -> LockedEnvironment:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as problem:
        raise SetupProblem(
            f"The locked environment {path} cannot be read: {problem}.",
            suggestion="Correct the file that LANDLOOM_ENVIRONMENTS names.",
        ) from problem
    version = _VERSION.search(text)
    if version is None:
        raise SetupProblem(
            f"The locked environment {path} does not say which version it is.",
            suggestion="Put a line like `# version: 1.4.0` at its head.",
        )
    return LockedEnvironment(version[1], path, hashlib.sha256(text.encode()).hexdigest())
