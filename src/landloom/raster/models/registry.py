"""The models folder: files that somebody registered, downloads, and what was seen of them.

`models.json` in the folder remembers the sha256 of every registered file and of the first download
of every URL. A file that differs later is refused: weights that change under a recipe change its
results without a word.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landloom.errors import InvalidInput, ModelRejected, ModelUnavailable
from landloom.raster.models.container import archive_version

LOCK_NAME = "models.json"
OPERATOR_MODELS = "LANDLOOM_OPERATOR_MODELS"

HASH_BLOCK_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model archive on this machine's disk."""

    path: Path
    sha256: str
    name: str
    """How to speak of it: the registered name, or the file's."""


@dataclass(frozen=True, slots=True)
class ModelRegistry:
    """Registered model files and downloads below one folder."""

    folder: Path

    def add(self, name: str, file: Path) -> ModelFile:
        """Copy a file into the folder under `name`, replacing what had that name.

        Raises:
            InvalidInput: There is no such file, it is not a `.pt2`, or the name cannot be one.
            ModelRejected: It has the name of a `.pt2` and is no such archive.
        """
        key = model_key(name)
        if not file.is_file() or file.suffix != ".pt2":
            raise InvalidInput(
                f"{file} is not a .pt2 file.",
                suggestion="Pass a file that torch.export's package_pt2 wrote.",
                field="FILE",
            )
        archive_version(file)  # half a download is told now, not by the workflow that needs it
        digest = sha256_of(file)
        target = self.folder / "registered" / f"{key}.pt2"
        self._place(target, lambda partial: shutil.copyfile(file, partial))
        with self._locked() as state:
            state["registered"][key] = {"name": name, "sha256": digest, "origin": str(file)}
        return ModelFile(target, digest, name)

    def registered(self) -> dict[str, str]:
        """Return name and sha256 of every registered file."""
        entries = self._state()["registered"].values()
        return {entry["name"]: entry["sha256"] for entry in entries}

    def find(self, names: list[str]) -> ModelFile | None:
        """Return the file registered under the first of `names` that has one, here or there.

        There is the folder that LANDLOOM_OPERATOR_MODELS names: jobs that are kept apart have a
        models folder of their user's own, and read the operator's.

        Raises:
            ModelRejected: The file is no longer the one that was registered.
        """
        operators = os.environ.get(OPERATOR_MODELS)
        for folder in (self.folder, *([Path(operators)] if operators else [])):
            found = ModelRegistry(folder)._find(names)  # noqa: SLF001 - its like
            if found is not None:
                return found
        return None

    def _find(self, names: list[str]) -> ModelFile | None:
        registered = self._state()["registered"]
        for name in names:
            entry = registered.get(model_key(name))
            path = self.folder / "registered" / f"{model_key(name)}.pt2"
            if entry is None or not path.is_file():
                continue
            digest = sha256_of(path)
            if digest != entry["sha256"]:
                raise ModelRejected(
                    f"{path} has sha256 {digest}, but {entry['sha256']} was registered as"
                    f" {entry['name']!r}.",
                    suggestion=f"Register it anew: {add_command(entry['name'])}",
                )
            return ModelFile(path, digest, entry["name"])
        return None

    def download(self, url: str, fetch: Callable[[Path], None]) -> ModelFile:
        """Return the file behind a URL, fetched once and pinned by its sha256.

        Args:
            url: What names it.
            fetch: Writes the bytes to the path it is given.

        Raises:
            ModelUnavailable: What was fetched is not what was fetched first.
        """
        name = url.rsplit("/", 1)[-1].split("?", maxsplit=1)[0]
        target = self.folder / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:16] / name
        if not target.is_file():
            self._place(target, fetch)
        digest = sha256_of(target)
        with self._locked() as state:
            pinned = state["pinned"].setdefault(url, digest)
        if digest != pinned:
            target.unlink()
            raise ModelUnavailable(
                f"{url} now gives a file with sha256 {digest}; the first download had {pinned}.",
                suggestion=f"If the new file is wanted, register it: {add_command(name)}",
            )
        return ModelFile(target, digest, name)

    def pinned(self, url: str) -> str | None:
        """Return the sha256 of the first download of `url`, if there was one."""
        found = self._state()["pinned"].get(url)
        return None if found is None else str(found)

    def _place(self, target: Path, write: Callable[[Path], object]) -> None:
        """Write a file so that it is there whole or not at all."""
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=target.parent, prefix=".partial-", suffix=".pt2")
        os.close(handle)
        try:
            write(Path(partial))
            # Jobs that run as users of their own read the operator's models.
            Path(partial).chmod(0o644)
            Path(partial).replace(target)
        finally:
            Path(partial).unlink(missing_ok=True)

    def _state(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"registered": {}, "pinned": {}}
        try:
            text = (self.folder / LOCK_NAME).read_text(encoding="utf-8")
            state: dict[str, Any] = empty | json.loads(text)
        except FileNotFoundError:
            return empty
        except (OSError, ValueError) as error:
            raise ModelUnavailable(
                f"{self.folder / LOCK_NAME} cannot be read: {error}.",
                suggestion="Repair or delete it; deleting it forgets the pinned checksums.",
            ) from error
        return state

    @contextmanager
    def _locked(self) -> Iterator[dict[str, Any]]:
        """Yield the state to change; it is written back at the end, one process at a time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f".{LOCK_NAME}.lock").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            state = self._state()
            before = json.dumps(state, sort_keys=True)
            yield state
            if json.dumps(state, sort_keys=True) != before:
                partial = self.folder / f".{LOCK_NAME}.partial"
                partial.write_text(json.dumps(state, indent=2, sort_keys=True), encoding="utf-8")
                partial.replace(self.folder / LOCK_NAME)


def model_key(name: str) -> str:
    """Return the file-name form of a model's name: case and a `.pt2` at the end are no matter.

    Raises:
        InvalidInput: The name is empty, or holds something that has no place in a file name.
    """
    key = name.strip().casefold().removesuffix(".pt2")
    if not key or key.startswith(".") or not all(each.isalnum() or each in "-_." for each in key):
        raise InvalidInput(
            f"{name!r} cannot name a model.",
            suggestion="Use letters, digits, '-', '_' and '.'.",
            field="NAME",
        )
    return key


def add_command(name: str) -> str:
    """Return the command that registers a file under `name`."""
    return f"landloom models add {name} FILE.pt2"


def sha256_of(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
