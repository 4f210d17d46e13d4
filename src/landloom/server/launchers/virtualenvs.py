"""Environments of their own for jobs, made once and kept by what they are made of."""

from __future__ import annotations

import asyncio
import importlib.metadata
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from landloom.runner.packages import link_packages
from landloom.server.launchers.installer import DependencyProblem, install, run, sentence


async def make_environment(
    folder: Path, python: Path, fill: Callable[[Path], Awaitable[Sequence[str]]]
) -> tuple[Path, tuple[str, ...]]:
    """Make a virtual environment at `folder` unless it is there; return (interpreter, lines).

    Args:
        folder: Where it is to be; its name says what is in it.
        python: An interpreter of the same Python.
        fill: Installs into the environment whose interpreter it is given; returns what the
            installer printed.

    Raises:
        DependencyProblem: It cannot be made.
    """
    interpreter = folder / "bin" / "python"
    if interpreter.exists():
        return interpreter, ()
    await asyncio.to_thread(folder.parent.mkdir, mode=0o711, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as temporary:
        place = Path(temporary) / "environment"
        # Relocatable: it is moved to its own name when it is whole.
        status, output = await install(
            "venv", "--quiet", "--relocatable", "--python", str(python), str(place)
        )
        if status:
            raise DependencyProblem(
                f"An environment for the run cannot be made: {sentence(output)}", lines=output
            )
        # Asked while nothing of a user's could run with it.
        site = await _site_packages(place / "bin" / "python")
        lines = await fill(place / "bin" / "python")
        await asyncio.to_thread(_link_platform, site)
        # Either this rename publishes it, or somebody else's did with the same content.
        with suppress(OSError):
            place.rename(folder)
    return interpreter, tuple(lines)


async def _site_packages(python: Path) -> Path:
    _, lines = await run(
        [str(python), "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    )
    return Path(lines[-1])


def _link_platform(site: Path) -> None:
    """Let the environment import what the platform brings, as the server itself has it."""
    link_packages(site)
    found = importlib.metadata.distribution("landloom")
    record = Path(str(found.locate_file(f"landloom-{found.version}.dist-info")))
    if record.is_dir() and not any(site.glob("landloom-*.dist-info")):
        (site / record.name).symlink_to(record)
