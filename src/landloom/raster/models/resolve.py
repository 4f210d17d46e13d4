"""From what a request says of its model to a file on this disk."""

from __future__ import annotations

from pathlib import Path

import obstore
from obstore.exceptions import BaseError

from landloom.errors import InvalidInput, ModelRejected, ModelUnavailable, StoreProblem
from landloom.raster.models.registry import ModelFile, ModelRegistry, add_command, sha256_of
from landloom.raster.store import objects

DOWNLOAD_BLOCK_BYTES = 1 << 23


def resolve_model(
    href: str, sha256: str | None, registry: ModelRegistry, recipe: str | None = None
) -> ModelFile:
    """Return the model file that `href` means.

    A file that was registered under the recipe's name, or under the href's file name, comes before
    any download, so a machine without a network answers every recipe it has files for. A path is
    used where it lies. A URL is downloaded once and pinned.

    Args:
        href: A path, or an s3://, https:// or http:// URL.
        sha256: The checksum that the catalogue knows; None where nobody has seen the file.
        registry: The models folder.
        recipe: The recipe that asks, if one does.

    Raises:
        ModelUnavailable: It is not here and cannot be fetched; the message says which file to
            bring, and how.
        ModelRejected: It is here, with another checksum than `sha256`.
    """
    file_name = href.split("?", maxsplit=1)[0].rstrip("/").rsplit("/", 1)[-1]
    names = [name for name in (recipe, file_name) if name]
    local = objects.local_path(href)
    found = registry.find(names) if local is None or not local.is_file() else None
    if found is None:
        found = _local(local, names) if local is not None else _fetched(href, registry, names)
    if sha256 is not None and found.sha256 != sha256.casefold():
        raise ModelRejected(
            f"{found.path} has sha256 {found.sha256}, but the catalogue wants {sha256}.",
            suggestion=f"Bring the right file: {add_command(names[0])}",
        )
    return found


def _local(path: Path, names: list[str]) -> ModelFile:
    if not path.is_file():
        raise ModelUnavailable(
            f"There is no model file {path}.",
            suggestion=f"Put it there, or register it: {add_command(names[0])}",
        )
    return ModelFile(path, sha256_of(path), path.name)


def _fetched(url: str, registry: ModelRegistry, names: list[str]) -> ModelFile:
    def fetch(partial: Path) -> None:
        location = objects.resolve(url)
        answer = obstore.get(location.store, location.path)
        with partial.open("wb") as file:
            for block in answer.stream(min_chunk_size=DOWNLOAD_BLOCK_BYTES):
                file.write(block)

    try:
        return registry.download(url, fetch)
    except (BaseError, OSError, StoreProblem, InvalidInput) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        asker = f" of recipe {names[0]}" if len(names) > 1 else ""
        raise ModelUnavailable(
            f"The model file{asker} is not on this machine, and {url} could not be fetched:"
            f" {reason}",
            suggestion=f"Bring {names[-1]} to this machine and run: {add_command(names[0])}",
        ) from error
