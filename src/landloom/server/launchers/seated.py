"""Commands that run what users brought before their workload does, kept apart as that will be.

To import a package that a run asked for, so as to see that it can be imported, is to run its code.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from landloom.runner import folder
from landloom.runner.processes import end_with_parent
from landloom.server.launchers.installer import quiet_environment
from landloom.server.launchers.isolation import Isolation

_SECONDS: Final = 300
_GRACE_SECONDS: Final = 0.5
_MEMORY_BYTES: Final = 4 << 30
_TAIL_BYTES: Final = 64 * 1024
_NO_WORD: Final = 1, ["It ended without a word of how."]


@dataclass(frozen=True, slots=True)
class Seated:
    """Runs commands as a user's workloads are run."""

    isolation: Isolation
    owner: str
    """Id of the principal."""
    workloads_dir: Path

    async def __call__(
        self, command: Sequence[str], environment: Mapping[str, str], reads: Sequence[Path]
    ) -> tuple[int, list[str]]:
        """Run a command; return (status, last lines of stdout and stderr).

        Args:
            command: Program and arguments.
            environment: Variables on top of those that installers get.
            reads: What it needs to read beside what all workloads need.

        Raises:
            Unavailable: No number is left for the user.
        """
        directory = await asyncio.to_thread(self._furnish, command, environment, reads)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "landloom.runner", str(directory)),
                cwd=directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                # As if it was not wanted any more: it ends what it runs.
                preexec_fn=partial(end_with_parent, os.getpid(), signal.SIGTERM),
            )
            try:
                await process.wait()
            except asyncio.CancelledError:
                with suppress(ProcessLookupError):
                    process.terminate()
                await process.wait()
                raise
            return await asyncio.to_thread(_said, directory)
        finally:
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    def _furnish(
        self, command: Sequence[str], environment: Mapping[str, str], reads: Sequence[Path]
    ) -> Path:
        directory = Path(tempfile.mkdtemp(prefix=".seated-", dir=self.workloads_dir))
        seat = self.isolation.seat(self.owner, directory, reads)
        own = self.isolation.environment(seat, directory)
        spec = folder.Spec(
            argv=tuple(command),
            env={**quiet_environment(), **environment, **own, folder.MARKER: directory.name},
            timeout_seconds=_SECONDS,
            grace_seconds=_GRACE_SECONDS,
            memory_limit=_MEMORY_BYTES,
            seat=seat,
        )
        folder.write_spec(directory, spec)
        return directory


def _said(directory: Path) -> tuple[int, list[str]]:
    ended = folder.read_exit(directory)
    if ended is None:
        return _NO_WORD
    with (directory / folder.LOG).open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return ended.exit_code, [line.partition(" ")[2] for line in lines]
