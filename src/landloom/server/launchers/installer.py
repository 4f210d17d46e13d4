"""The package installer, uv, as a process that meets no secret of ours."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import uv

from landloom.errors import LandloomError
from landloom.runner.processes import end_with_parent

_INHERITED: Final = ("PATH", "HOME", "LANG", "TMPDIR", "TZ", "XDG_CACHE_HOME")
_PIECE_BYTES: Final = 64 * 1024
_TAIL_BYTES: Final = 1 << 20
"""Of what a command prints; the pins of twenty thousand packages."""
_INHERITED_PREFIXES: Final = ("UV_", "SSL_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_")


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


async def install(*arguments: str) -> tuple[int, list[str]]:
    """Run uv; return (status, lines of stdout and stderr)."""
    return await run([uv.find_uv_bin(), *arguments])


async def run(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> tuple[int, list[str]]:
    """Run a command in a session of its own; return (status, lines of stdout and stderr).

    It ends with this process. Of very many lines the last are returned, and how many bytes were
    printed before them.

    Args:
        command: Program and arguments.
        environment: Variables on top of those that installers get.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**quiet_environment(), **(environment or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        # One that lived on would install for a server that is gone, and nobody would wait for it.
        preexec_fn=partial(end_with_parent, os.getpid()),
        # Jobs run as other users, and are to read what is installed for them.
        umask=0o022,
    )
    try:
        left_out, output = await _tail(process.stdout)
        await process.wait()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    lines = output.decode("utf-8", "replace").splitlines()
    if left_out:
        lines[0] = f"[landloom] {left_out} bytes that it printed before are left out"
    return process.returncode or 0, [line.rstrip() for line in lines if line.strip()]


async def _tail(output: asyncio.StreamReader | None) -> tuple[int, bytes]:
    """Read to the end; return (bytes that are left out, the bytes behind those)."""
    left_out, kept = 0, bytearray()
    while output is not None and (piece := await output.read(_PIECE_BYTES)):
        kept += piece
        # Now and then, not with each piece: the rest is moved to the front.
        if len(kept) > 2 * _TAIL_BYTES:
            left_out += len(kept) - _TAIL_BYTES
            del kept[:-_TAIL_BYTES]
    return left_out, bytes(kept)


async def freeze(python: Path) -> list[str]:
    """List an environment as `name==version`, sorted; what came from a folder or URL is left out.

    Raises:
        DependencyProblem: There is no environment with this interpreter.
    """
    status, output = await install("pip", "freeze", "--python", str(python))
    if status:
        raise DependencyProblem(f"The job environment of {python} cannot be read.", lines=output)
    return sorted(line for line in output if re.fullmatch(r"[\w.-]+==\S+", line))


def is_unsolvable(lines: Sequence[str]) -> bool:
    """Tell whether the installer understood the question and there is no answer to it."""
    return any("No solution found" in line for line in lines)


def sentence(lines: Sequence[str]) -> str:
    """Return the installer's reason as one sentence, without the drawing around it."""
    text = " ".join(re.sub(r"^[^\w\"'`(]+", "", line) for line in lines)
    return re.sub(r"^(error: )?No solution found [\w ]+:?\s*(cause: )?", "", text)


def distribution(requirement: str) -> str:
    """Return the name in a requirement or a wheel's path, spelled as the index does."""
    if requirement.endswith(".whl"):
        return normal(requirement.rpartition("/")[2].partition("-")[0])
    return normal(re.split(r"[\[=<>!~ @;]", requirement, maxsplit=1)[0])


def normal(name: str) -> str:
    """Spell a distribution's name as the index does: lower case, single dashes."""
    head, mark, version = name.partition("==")
    return re.sub(r"[-_.]+", "-", head).lower() + mark + version


def quiet_environment() -> dict[str, str]:
    """Return what installers get: a package is built by its own code, which must meet no secret."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    return kept | {"NO_COLOR": "1", "UV_NO_PROGRESS": "1"}
