"""A run's own packages: resolved against the job environment and laid over it as a folder.

The base environment's exact versions are constraints, so an overlay never shadows a compiled
package with one that its neighbours were not built for. What the base has already is left out.
Where the constraints cannot be met the run fails, and says which of the two reasons it is: no such
version, or one that conflicts with the base.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uv

from landloom.errors import LandloomError

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\[[A-Za-z0-9._,-]+\])?")
_VERSION: Final = re.compile(r"[A-Za-z0-9.*+!~<>=, _-]+")
_OPERATORS: Final = "=<>!~"
_DEFAULT_SECONDS: Final = 600.0
_INHERITED: Final = ("PATH", "HOME", "LANG", "TMPDIR", "TZ", "XDG_CACHE_HOME")
_INHERITED_PREFIXES: Final = ("UV_", "SSL_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_")

_IMPORT_CHECK: Final = """
import importlib, importlib.metadata, sys
folder, *names = sys.argv[1:]
by_name = {}
for found in importlib.metadata.distributions(path=[folder]):
    by_name[found.metadata["Name"].lower().replace("_", "-").replace(".", "-")] = found
for name in names:
    found = by_name.get(name)
    modules = set()
    for file in (found.files or []) if found else []:
        first = file.parts[0]
        if len(file.parts) == 2 and file.parts[1] == "__init__.py":
            modules.add(first)
        elif len(file.parts) == 1 and first.endswith(".py"):
            modules.add(first[:-3])
    failure = None
    for module in sorted(each for each in modules if each.isidentifier() and each[0] != "_"):
        try:
            importlib.import_module(module)
        except BaseException as problem:
            failure = failure or f"{name}: import {module}: {type(problem).__name__}: {problem}"
        else:
            failure = None
            break
    if failure:
        sys.exit(failure)
"""


class DependencyProblem(LandloomError):
    """A run's dependency cannot be had, or does not fit.

    Attributes:
        lines: What the installer printed, for the run's log.
    """

    code = "DEPENDENCY_PROBLEM"
    status = 422

    def __init__(self, message: str, *, suggestion: str = "", lines: Sequence[str] = ()) -> None:
        super().__init__(message, suggestion=suggestion, field="environment.dependencies")
        self.lines = tuple(lines)


@dataclass(frozen=True, slots=True)
class Overlay:
    """Packages laid over the base environment."""

    folder: Path | None
    """To be put on PYTHONPATH; None where the base has everything already."""
    lines: tuple[str, ...]
    """What the installer printed, for the run's log; empty where nothing had to be done."""


def requirements_of(dependencies: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Turn the `environment.dependencies` of a run into requirements, sorted.

    Raises:
        DependencyProblem: One is a FILE, or is not a name with a version.
    """
    requirements = set()
    for dependency in dependencies:
        name = dependency.get("libraryName")
        if name is None or dependency.get("sourceType", "PYPI") != "PYPI":
            raise DependencyProblem(
                f"The dependency {dependency.get('filePath') or dependency!r} is a file, and"
                " files are not supported yet.",
                suggestion="Name a package with sourceType PYPI, or put the code in the script.",
            )
        requirements.add(_requirement(str(name).strip(), dependency.get("libraryVersion")))
    return tuple(sorted(requirements))


async def prepare_overlay(
    requirements: Sequence[str],
    *,
    python: Path,
    cache_dir: Path,
    timeout_seconds: float = _DEFAULT_SECONDS,
) -> Overlay:
    """Resolve, install and check; the same requirements over the same base are done once.

    Args:
        requirements: From `requirements_of`.
        python: Interpreter of the base environment.
        cache_dir: Overlays are kept in `cache_dir/overlays/<hash>`.
        timeout_seconds: For all of it together.

    Raises:
        DependencyProblem: Not to be had, in conflict with the base, or not importable.
    """
    if not requirements:
        return Overlay(None, ())
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _prepare(sorted(requirements), python, cache_dir / "overlays")
    except TimeoutError as problem:
        raise DependencyProblem(
            f"Installing {', '.join(requirements)} took longer than {timeout_seconds:g} seconds.",
            suggestion="Try again; ask for fewer or smaller packages.",
        ) from problem


async def _prepare(requirements: list[str], python: Path, overlays: Path) -> Overlay:
    base = await _freeze(python)
    identity = "\n".join([str(python), *requirements, "", *base])
    folder = overlays / hashlib.sha256(identity.encode()).hexdigest()[:32]
    if folder.exists():
        return Overlay(folder if any(folder.iterdir()) else None, ())
    await asyncio.to_thread(overlays.mkdir, mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=overlays) as temporary:
        work = Path(temporary)
        pins = await _resolve(requirements, base, python, work)
        lines = await _install(pins, python, work)
        await _check_imports(requirements, python, work / "site")
        # Either this rename publishes it, or somebody else's did with the same content.
        with suppress(OSError):
            (work / "site").rename(folder)
    return Overlay(folder if pins else None, lines)


async def _freeze(python: Path) -> list[str]:
    """List the base environment as `name==version`; what came from a folder or URL is left out."""
    status, output = await _uv("pip", "freeze", "--python", str(python))
    if status:
        raise DependencyProblem(f"The job environment of {python} cannot be read.", lines=output)
    return sorted(line for line in output if re.fullmatch(r"[\w.-]+==\S+", line))


async def _resolve(requirements: list[str], base: list[str], python: Path, work: Path) -> list[str]:
    """Return the pins that the base lacks."""
    wanted, constraints = work / "requirements.txt", work / "base.txt"
    wanted.write_text("\n".join(requirements) + "\n")
    constraints.write_text("\n".join(base) + "\n")
    command = ["pip", "compile", "--python", str(python), "--no-header", "--no-annotate", "--quiet"]
    status, output = await _uv(*command, "--constraint", str(constraints), str(wanted))
    if not status:
        present = {_normal(pin) for pin in base}
        return [pin for pin in output if "==" in pin and _normal(pin) not in present]
    free_status, free_output = await _uv(*command, str(wanted))
    if free_status:
        raise DependencyProblem(
            f"{', '.join(requirements)} cannot be installed: {_sentence(free_output)}",
            suggestion="Check the names and versions of the run's dependencies.",
            lines=free_output,
        )
    raise DependencyProblem(
        f"{', '.join(requirements)} conflicts with the base environment: {_sentence(output)}",
        suggestion="Leave the version open, or ask for one that fits the installed packages.",
        lines=output,
    )


async def _install(pins: list[str], python: Path, work: Path) -> tuple[str, ...]:
    site = work / "site"
    site.mkdir(mode=0o700)
    if not pins:
        return ()
    locked = work / "locked.txt"
    locked.write_text("\n".join(pins) + "\n")
    # Copies, not hard links: a job that writes to its overlay must not reach the shared cache.
    status, output = await _uv(
        *("pip", "install", "--no-deps", "--link-mode", "copy", "--python", str(python)),
        *("--target", str(site), "--requirement", str(locked)),
    )
    if status:
        raise DependencyProblem(
            f"{', '.join(pins)} cannot be installed: {_sentence(output)}", lines=output
        )
    return tuple(output)


async def _check_imports(requirements: list[str], python: Path, site: Path) -> None:
    """Import every package that was asked for: better a failure now than in the script."""
    names = [_package(requirement) for requirement in requirements]
    environment = {**_environment(), "PYTHONPATH": str(site)}
    command = [str(python), "-P", "-c", _IMPORT_CHECK, str(site), *names]
    status, output = await _run(command, environment)
    if status:
        raise DependencyProblem(
            f"A dependency was installed but cannot be imported: {output[-1] if output else ''}",
            suggestion="It may need another version of a package of the base environment.",
            lines=output,
        )


async def _uv(*arguments: str) -> tuple[int, list[str]]:
    return await _run([uv.find_uv_bin(), *arguments], _environment())


async def _run(command: Sequence[str], environment: dict[str, str]) -> tuple[int, list[str]]:
    """Run a command in a session of its own; return (status, lines of stdout and stderr)."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    lines = output.decode("utf-8", "replace").splitlines()
    return process.returncode or 0, [line.rstrip() for line in lines if line.strip()]


def _environment() -> dict[str, str]:
    """What installers get: building a package runs its code, which must meet no secret of ours."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    return kept | {"NO_COLOR": "1", "UV_NO_PROGRESS": "1"}


def _requirement(name: str, version: Any) -> str:
    text = str(version or "").strip()
    if not _NAME.fullmatch(name) or (text and not _VERSION.fullmatch(text)):
        raise DependencyProblem(f"{name!r} {text!r} is not a package with a version.")
    if text and text[0] not in _OPERATORS:
        text = f"=={text}"
    return name + text


def _package(requirement: str) -> str:
    return _normal(re.split(r"[\[=<>!~ ]", requirement, maxsplit=1)[0])


def _normal(name: str) -> str:
    """Spell a distribution's name as the index does: lower case, single dashes."""
    head, mark, version = name.partition("==")
    return re.sub(r"[-_.]+", "-", head).lower() + mark + version


def _sentence(lines: Sequence[str]) -> str:
    """Return the installer's reason as one sentence, without the drawing around it."""
    text = " ".join(re.sub(r"^[^\w\"'`(]+", "", line) for line in lines)
    return re.sub(r"^(error: )?No solution found [\w ]+:?\s*(cause: )?", "", text)
