"""Models that were compiled before: kept beside the model files, so that a start takes a second.

Below `<models>/compiled/<sha256>/` lie, for one model file, its card and a compiled form for each
way it was run. Names follow from all that has a say (versions, processor, batch shape, precision),
so nothing is ever stale; whatever cannot be read is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from landloom.raster.models.registry import ModelFile

FORMAT = 1
"""Raise it when what is kept, or how it is made, changes."""


@dataclass(frozen=True, slots=True)
class CompiledFolder:
    """What is kept of one model file."""

    folder: Path

    @classmethod
    def of(cls, models: Path, file: ModelFile) -> Self:
        """Return the folder of a model file below the models folder."""
        return cls(models / "compiled" / file.sha256[:24])

    def note(self, key: str) -> dict[str, Any] | None:
        """Return what was noted under a key; None if nothing was."""
        try:
            said: dict[str, Any] = json.loads(self._path(key, ".json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return said if said.get("format") == FORMAT else None

    def keep_note(self, key: str, said: Mapping[str, Any]) -> None:
        """Note JSON values under a key; where nothing can be written, nothing is."""
        self._write(key, ".json", json.dumps({**said, "format": FORMAT}).encode())

    def blob(self, key: str) -> bytes | None:
        """Return the bytes kept under a key; None if there are none."""
        try:
            return self._path(key, ".blob").read_bytes()
        except OSError:
            return None

    def keep_blob(self, key: str, data: bytes) -> None:
        """Keep bytes under a key."""
        self._write(key, ".blob", data)

    def _path(self, key: str, suffix: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}{suffix}"

    def _write(self, key: str, suffix: str, data: bytes) -> None:
        # A models folder may be read-only: then every start compiles anew.
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(dir=self.folder, prefix=".partial-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                Path(partial).replace(self._path(key, suffix))
            finally:
                Path(partial).unlink(missing_ok=True)


def versions(*packages: str) -> str:
    """Return names and versions of installed packages, without importing them."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} none")
    return ", ".join(found)


def processor() -> str:
    """Return what tells this machine's processor from others: its name and its instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    wanted = ("model name", "flags", "Features")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
