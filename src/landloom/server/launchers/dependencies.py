"""A run's own packages: laid over the job environment as a folder, or an environment of their own.

The base environment's exact versions are constraints, so an overlay never shadows a compiled
package with one that its neighbours were not built for. What the base has already is left out.
Where the constraints cannot be met, the run gets an environment of its own with as many of the
libraries that scripts use as go together with what it asked for. What was asked for is imported
before the script starts, and everything is kept by a digest of what it was made of.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from landloom.server.launchers.installer import (
    DependencyProblem,
    distribution,
    freeze,
    install,
    is_unsolvable,
    normal,
    run,
    sentence,
)
from landloom.server.launchers.virtualenvs import make_environment

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\[[A-Za-z0-9._,-]+\])?")
_VERSION: Final = re.compile(r"[A-Za-z0-9.*+!~<>=, _-]+")
_OPERATORS: Final = "=<>!~"
_DEFAULT_SECONDS: Final = 600.0
_NO_BUILD: Final = "--no-build"
_CHECK_NAMES: Final = "Check the names and versions of the run's dependencies."
_BRING_A_WHEEL: Final = (
    "Make a wheel of it (`pip wheel --no-deps NAME`), upload it and name it as a FILE dependency;"
    " or ask the operator to set LANDLOOM_TRUST_USERS=true: then packages are built here."
)

type Execute = Callable[
    [Sequence[str], Mapping[str, str], Sequence[Path]], Awaitable[tuple[int, list[str]]]
]
"""Runs (command, further variables, what it reads beside); returns (status, lines)."""
_COMPANIONS: Final = (
    *("geopandas", "matplotlib", "numpy", "pandas", "pyarrow", "pyproj", "rasterio", "requests"),
    *("rioxarray", "s3fs", "shapely", "wkls", "xarray", "zarr"),
)
"""What scripts import beside the client, as far as the base has it."""
_OLD_NUMPY: Final = ("numpy<2", "pyarrow<22")
"""What goes with packages that were compiled for NumPy 1; pyarrow 22 needs NumPy 2 at run time."""
_NUMPY_MISMATCH: Final = re.compile(
    r"numpy\.dtype size changed|_ARRAY_API not found|compiled using NumPy 1|numpy\.core\.multiarray"
)
_ONE_VERSION: Final = re.compile(r"==[^*,]+|\.whl$")

_IMPORT_CHECK: Final = """
import importlib, importlib.metadata, sys
folder, *names = sys.argv[1:]
by_name = {}
for found in importlib.metadata.distributions(path=[folder] if folder else sys.path):
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


@dataclass(frozen=True, slots=True)
class Packages:
    """A run's own packages, installed."""

    folder: Path | None = None
    """To be put on PYTHONPATH; None where there is nothing to lay over the environment."""
    python: Path | None = None
    """Interpreter of an environment of the run's own; None where the base serves."""
    lines: tuple[str, ...] = ()
    """What the installer printed, for the run's log; empty where nothing had to be done."""


def requirements_of(dependencies: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Turn the PYPI ones of a run's `environment.dependencies` into requirements, sorted.

    Raises:
        DependencyProblem: One is not a name with a version.
    """
    return tuple(
        sorted(
            {
                _requirement(
                    str(dependency["libraryName"]).strip(), dependency.get("libraryVersion")
                )
                for dependency in dependencies
                if dependency.get("libraryName") is not None
            }
        )
    )


async def prepare_packages(
    requirements: Sequence[str],
    *,
    python: Path,
    cache_dir: Path,
    timeout_seconds: float = _DEFAULT_SECONDS,
    apart: Execute | None = None,
    build: bool = True,
) -> Packages:
    """Resolve, install and check; the same requirements over the same base are done once.

    Args:
        requirements: From `requirements_of`, and paths of wheels whose folders are named by what
            is in them.
        python: Interpreter of the base environment.
        cache_dir: Kept in `cache_dir/overlays/<digest>` and `cache_dir/environments/<digest>`.
        timeout_seconds: For all of it together.
        apart: Imports the packages, which is to run their code, with no more rights than the run
            will have. None imports them as the server's user.
        build: Whether what has no wheel is built from source: its code then runs as the server's
            user.

    Raises:
        DependencyProblem: Not to be had, or not importable.
    """
    if not requirements:
        return Packages()
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _Making(python, cache_dir, apart, build=build).prepare(
                sorted(requirements)
            )
    except TimeoutError as problem:
        raise DependencyProblem(
            f"Installing {_listed(requirements)} took longer than {timeout_seconds:g} seconds.",
            suggestion="Try again; ask for fewer or smaller packages.",
        ) from problem


class _Making:
    """Makes the packages of runs over one base environment."""

    def __init__(self, base: Path, cache_dir: Path, apart: Execute | None, *, build: bool) -> None:
        self._base = base
        self._cache_dir = cache_dir
        self._apart = apart
        self._options = () if build else (_NO_BUILD,)

    async def prepare(self, requirements: list[str]) -> Packages:
        """Return what is kept for these requirements, or make it."""
        base = await freeze(self._base)
        identity = "\n".join([str(self._base), *requirements, "", *base, "", _day(requirements)])
        name = hashlib.sha256(identity.encode()).hexdigest()[:32]
        folder = self._cache_dir / "overlays" / name
        if folder.exists():
            return Packages(folder if any(folder.iterdir()) else None)
        own = self._cache_dir / "environments" / name
        if (own / "bin" / "python").exists():
            return Packages(python=own / "bin" / "python")
        await asyncio.to_thread(folder.parent.mkdir, mode=0o711, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as temporary:
            work = Path(temporary)
            pins, reason = await self._resolve(requirements, base, work)
            if pins is None:
                return await self._prepare_own(requirements, base, own, reason)
            lines = await self._install(pins, work)
            await self._check_imports(requirements, self._base, work / "site")
            # Either this rename publishes it, or somebody else's did with the same content.
            with suppress(OSError):
                (work / "site").rename(folder)
        return Packages(folder if pins else None, lines=lines)

    async def _resolve(
        self, requirements: list[str], base: list[str], work: Path
    ) -> tuple[list[str] | None, str]:
        """Return the pins that the base lacks, or (None, why) where the base cannot bear them."""
        constraints = work / "base.txt"
        constraints.write_text("\n".join(base) + "\n")
        status, output = await self._compile(requirements, work, "--constraint", str(constraints))
        if not status:
            present = {normal(pin) for pin in base}
            return [pin for pin in output if normal(pin) not in present], ""
        free_status, free_output = await self._compile(requirements, work)
        if free_status or not is_unsolvable(output):
            raise _not_installable(requirements, free_output if free_status else output)
        return None, sentence(output)

    async def _compile(
        self, requirements: Sequence[str], work: Path, *options: str
    ) -> tuple[int, list[str]]:
        """Resolve; return (status, pins), or (status, what the installer said)."""
        wanted = work / "requirements.txt"
        wanted.write_text("\n".join(requirements) + "\n")
        status, output = await install(
            *("pip", "compile", "--python", str(self._base), "--no-header", "--no-annotate"),
            *("--quiet", *self._options, *options, str(wanted)),
        )
        if status:
            return status, output
        return 0, [line for line in output if "==" in line or " @ " in line or _is_wheel(line)]

    async def _install(self, pins: list[str], work: Path) -> tuple[str, ...]:
        site = work / "site"
        site.mkdir()
        site.chmod(0o755)
        return await self._add(pins, self._base, work, "--target", str(site)) if pins else ()

    async def _add(
        self, pins: Sequence[str], python: Path, work: Path, *options: str
    ) -> tuple[str, ...]:
        """Install exactly these pins."""
        locked = work / "locked.txt"
        locked.write_text("\n".join(pins) + "\n")
        # Copies, not hard links: a job that writes to its packages must not reach the shared cache.
        status, output = await install(
            *("pip", "install", "--no-deps", "--link-mode", "copy", "--python", str(python)),
            *(*self._options, *options, "--requirement", str(locked)),
        )
        if status:
            raise _not_installable(pins, output)
        return tuple(output)

    async def _prepare_own(
        self, requirements: list[str], base: list[str], folder: Path, reason: str
    ) -> Packages:
        """Make an environment of the run's own: the base's versions cannot be kept."""
        has = {distribution(pin) for pin in base}
        client = [each for each in _client_requirements() if distribution(each) in has]
        scripts = [name for name in _COMPANIONS if name in has]
        said = [f"[landloom] does not fit the job environment: {reason}"]

        async def fill(interpreter: Path) -> list[str]:
            for beside in ([*client, *scripts], client, []):
                lines = await self._install_together(requirements, beside, interpreter)
                if lines is not None:
                    left = [each for each in [*client, *scripts] if each not in beside]
                    without = [f"[landloom] without {_listed(left)}"] if left else []
                    return [*lines, *without]
            raise DependencyProblem(
                f"{_listed(requirements)} conflicts with the base environment: {reason}",
                suggestion="Leave the version open, or ask for one that fits the installed"
                " packages.",
                lines=said,
            )

        interpreter, lines = await make_environment(folder, self._base, fill)
        return Packages(
            python=interpreter, lines=(*said, "[landloom] an environment of its own:", *lines)
        )

    async def _install_together(
        self, requirements: list[str], beside: Sequence[str], python: Path
    ) -> tuple[str, ...] | None:
        """Install what was asked for with others beside it; None where they do not go together."""
        work = python.parents[1]
        constraints = work / "constraints.txt"
        for old in ((), _OLD_NUMPY):
            constraints.write_text("".join(f"{each}\n" for each in old))
            status, pins = await self._compile(
                [*requirements, *beside], work, "--constraint", str(constraints)
            )
            if status and not is_unsolvable(pins):
                raise _not_installable(requirements, pins)
            if status:
                return None
            if old:
                # The installer runs this interpreter, and must meet none of the first packages.
                await asyncio.to_thread(_empty, work)
            lines = await self._add(pins, python, work)
            try:
                await self._check_imports([*requirements, *beside], python)
            except DependencyProblem as problem:
                if not old and _NUMPY_MISMATCH.search(" ".join(problem.lines)):
                    continue
                # What stands beside it fails only those scripts that import it.
                await self._check_imports(requirements, python)
            return lines
        return None

    async def _check_imports(
        self, requirements: Sequence[str], python: Path, site: Path | None = None
    ) -> None:
        """Import every package that was asked for: better a failure now than in the script."""
        names = [distribution(requirement) for requirement in requirements]
        over = {"PYTHONPATH": str(site)} if site else {}
        command = [str(python), "-P", "-c", _IMPORT_CHECK, str(site or ""), *names]
        if self._apart is None:
            status, output = await run(command, over)
        else:
            reads = [self._base.parents[1], site or python.parents[1]]
            status, output = await self._apart(command, over, reads)
        if status:
            said = output[-1] if output else ""
            raise DependencyProblem(
                f"A dependency was installed but cannot be imported: {said}",
                suggestion="It may need another version of a package of the base environment.",
                lines=output,
            )


def _day(requirements: Sequence[str]) -> str:
    """Return what "newest" means: the newest of today. Exact versions stay what they are."""
    exact = all(_ONE_VERSION.search(each) for each in requirements)
    return "" if exact else datetime.now(UTC).date().isoformat()


def _empty(environment: Path) -> None:
    """Remove every package of an environment."""
    for site in environment.glob("lib/python*/site-packages"):
        shutil.rmtree(site)
        site.mkdir()


def _is_wheel(line: str) -> bool:
    return line.endswith(".whl")


def _client_requirements() -> list[str]:
    """List what the platform's own client needs, without extras."""
    needed = importlib.metadata.requires("landloom") or []
    return [each for each in needed if "extra ==" not in each]


def _requirement(name: str, version: Any) -> str:
    text = str(version or "").strip()
    if not _NAME.fullmatch(name) or (text and not _VERSION.fullmatch(text)):
        raise DependencyProblem(f"{name!r} {text!r} is not a package with a version.")
    if text and text[0] not in _OPERATORS:
        text = f"=={text}"
    return name + text


def _not_installable(requirements: Sequence[str], lines: list[str]) -> DependencyProblem:
    forbidden = any(_NO_BUILD in line for line in lines)
    return DependencyProblem(
        f"{_listed(requirements)} cannot be installed: {sentence(lines)}",
        suggestion=_BRING_A_WHEEL if forbidden else _CHECK_NAMES,
        lines=lines,
    )


def _listed(requirements: Sequence[str]) -> str:
    return ", ".join(each.rpartition("/")[2] for each in requirements)
