"""The files a run brings along: fetched, checked, and put where its interpreter finds them."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from landloom.server.launchers.installer import DependencyProblem
from landloom.server.runs.schemas import FileDependency
from landloom.server.storage.layout import SCHEME, split_uri

type Fetch = Callable[[str, str, Path], Awaitable[None]]
"""Writes the object (bucket, key) to a file."""

type Copy = Callable[[Path, Path], object]
"""Copies a file of this machine."""


@dataclass(frozen=True, slots=True)
class BroughtFiles:
    """Where a run's own files are."""

    wheels: list[Path] = field(default_factory=list)
    """In folders that are named by what is in them, so that installing them is done once."""
    archives: list[Path] = field(default_factory=list)
    """For the Python path."""
    jars: list[Path] = field(default_factory=list)
    """For Spark's class path."""
    documents: Path | None = None
    """Folder of the `.json` files; None where there is none."""


class Files:
    """Brings the files of one run."""

    def __init__(
        self,
        fetch: Fetch,
        directory: Path,
        *,
        wheels: Path,
        forbidden: Path,
        copy: Copy = shutil.copyfile,
    ) -> None:
        """Make one.

        Args:
            fetch: Fetches with the run's owner's keys.
            directory: The run's own folder.
            wheels: Where wheels are kept by what is in them.
            forbidden: The platform's folder, in which no path of a run may lie.
            copy: Copies what lies on this machine, as far as the run's owner may read it.
        """
        self._fetch = fetch
        self._directory = directory
        self._wheels = wheels
        self._forbidden = forbidden
        self._copy = copy

    async def bring(self, dependencies: Sequence[FileDependency]) -> BroughtFiles:
        """Fetch and check all of them.

        Raises:
            NotFound: There is no such object.
            Forbidden: The run's owner may not read it.
            Unavailable: The store does not answer.
            DependencyProblem: A file is not what its name says, or two have one name.
        """
        brought = BroughtFiles(documents=self._documents(dependencies))
        taken: dict[tuple[str, str], str] = {}
        for dependency in dependencies:
            name = PurePosixPath(dependency.file_path).name
            other = taken.setdefault((dependency.file_type, name), dependency.file_path)
            if other != dependency.file_path:
                raise DependencyProblem(
                    f"{other} and {dependency.file_path} would both be {name}.",
                    suggestion="Give one of them another name.",
                )
            await self._bring(dependency, name, brought)
        return brought

    def _documents(self, dependencies: Sequence[FileDependency]) -> Path | None:
        if all(each.file_type != "OTHER" for each in dependencies):
            return None
        return _made(self._directory / "documents")

    async def _bring(self, dependency: FileDependency, name: str, brought: BroughtFiles) -> None:
        path = dependency.file_path
        match dependency.file_type:
            case "PYTHON_WHEEL":
                file = await self._file(path, _made(self._directory / "wheels") / name)
                brought.wheels.append(await asyncio.to_thread(self._kept, file))
            case "ZIP":
                file = await self._file(path, _made(self._directory / "archives") / name)
                if not await asyncio.to_thread(zipfile.is_zipfile, file):
                    raise DependencyProblem(
                        f"{path} is not a zip archive.",
                        suggestion="Make it with `zip -r` or Python's zipfile.",
                    )
                brought.archives.append(file)
            case "JAR":
                brought.jars.append(await self._file(path, _made(self._directory / "jars") / name))
            case "OTHER" if brought.documents is not None:
                await self._file(path, brought.documents / f"{PurePosixPath(name).stem}.json")

    async def _file(self, path: str, destination: Path) -> Path:
        """Fetch an object, or copy what lies on this machine."""
        if path.startswith(SCHEME):
            found = split_uri(path)
            if found is None:
                raise DependencyProblem(f"{path!r} is not the URI of a file, s3://bucket/key.")
            await self._fetch(*found, destination)
            return destination
        source = Path(path.removeprefix("file://"))
        resolved = await asyncio.to_thread(source.resolve)
        if not source.is_absolute() or resolved.is_relative_to(self._forbidden.resolve()):
            raise DependencyProblem(
                f"{path} is neither an s3:// URI nor an absolute path that runs may read.",
                suggestion="Upload the file and name it by its URI.",
            )
        try:
            await asyncio.to_thread(self._copy, resolved, destination)
        except OSError as problem:
            raise DependencyProblem(
                f"The file {path} cannot be read: {problem.strerror}.",
                suggestion="Name a file that the runtime can see, or upload it.",
            ) from problem
        return destination

    def _kept(self, wheel: Path) -> Path:
        """Move a wheel to where its like is kept; two runs may do so at once."""
        with wheel.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        kept = _made(self._wheels / digest[:32]) / wheel.name
        wheel.replace(kept)
        return kept


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
