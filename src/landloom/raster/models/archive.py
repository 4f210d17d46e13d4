"""Open a `.pt2` archive: exported programs, and what the file says of itself.

A `.pt2` is a zip that `package_pt2` wrote. Ours holds a program `model` and perhaps one
`transforms`, and may hold an extra file `mlm-metadata` (YAML properties of the STAC extension
"Machine Learning Model"). Model files are code: they are loaded in a workload, never in the API's
process, and pickles in them may hold tensors only.
"""

from __future__ import annotations

import importlib
import os
import threading
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.pt2_archive._package import load_pt2
from torch.export.pt2_archive.constants import ARCHIVE_VERSION_VALUE

from landloom.errors import ModelRejected
from landloom.raster.models.registry import ModelFile

MODEL, TRANSFORMS = "model", "transforms"

WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""Makes every torch.load refuse pickles that hold anything but tensors."""

_environment = threading.Lock()


@dataclass(frozen=True, slots=True)
class Archive:
    """What a `.pt2` holds."""

    programs: Mapping[str, ExportedProgram]
    version: str
    metadata: str | None
    """The text of `mlm-metadata`."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """The texts of all extra files, by name."""


def open_archive(file: ModelFile) -> Archive:
    """Load the programs of an archive, on the CPU.

    Raises:
        ModelRejected: It is not an archive that this torch can load, or it has no `model`.
    """
    version = _version(file)
    if version != ARCHIVE_VERSION_VALUE:
        raise ModelRejected(
            f"{file.name} is a .pt2 archive of version {version}; torch {torch.__version__} reads"
            f" version {ARCHIVE_VERSION_VALUE}.",
            suggestion="Export the model anew with the torch of this machine.",
        )
    try:
        with _tensors_only(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            contents = load_pt2(str(file.path))
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelRejected(
            f"{file.name} (archive version {version}) cannot be loaded by torch"
            f" {torch.__version__}: {reason}",
            suggestion="Export the model anew with the torch of this machine, without custom"
            " objects.",
        ) from error
    if MODEL not in contents.exported_programs:
        found = ", ".join(sorted([*contents.exported_programs, *contents.aoti_runners])) or "none"
        raise ModelRejected(
            f"{file.name} holds no exported program 'model'; it holds {found}.",
            suggestion="Package it with package_pt2(file, exported_programs={'model': ...}).",
        )
    extra = {name.rsplit("/", 1)[-1]: text for name, text in contents.extra_files.items()}
    return Archive(contents.exported_programs, version, extra.get("mlm-metadata"), extra)


def _version(file: ModelFile) -> str:
    try:
        with zipfile.ZipFile(file.path) as archive:
            for name in archive.namelist():
                if name.endswith("/archive_version"):
                    return archive.read(name).decode().strip()
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelRejected(
            f"{file.path} is not a .pt2 archive: {error}.",
            suggestion="Check that the file was copied whole.",
        ) from error
    raise ModelRejected(
        f"{file.path} is a zip, but not a .pt2 archive: it does not say its archive version.",
        suggestion="A torch.jit or state_dict file must be exported with torch.export first.",
    )


@contextmanager
def _tensors_only() -> Iterator[None]:
    """Force weights_only on all torch.load calls, those within torch's own loader too."""
    with _environment:
        before = os.environ.get(WEIGHTS_ONLY)
        os.environ[WEIGHTS_ONLY] = "1"
        try:
            yield
        finally:
            if before is None:
                del os.environ[WEIGHTS_ONLY]
            else:
                os.environ[WEIGHTS_ONLY] = before


def metadata_counts(text: str | None) -> tuple[int | None, int | None]:
    """Return how many input bands and output classes `mlm-metadata` names; None if it is silent."""
    properties = _parse(text)
    return (
        _length(properties, "mlm:input", "bands"),
        _length(properties, "mlm:output", "classification:classes"),
    )


def _parse(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        yaml: Any = importlib.import_module("yaml")
        loaded = yaml.safe_load(text)
    except Exception:  # noqa: BLE001 - metadata only confirm what the programs' own sizes say
        return {}
    properties = loaded.get("properties", loaded) if isinstance(loaded, dict) else {}
    return properties if isinstance(properties, dict) else {}


def _length(properties: dict[str, Any], key: str, member: str) -> int | None:
    value = properties.get(key, properties.get(key.removeprefix("mlm:")))
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, dict):
        return None
    items = first.get(member, first.get(member.rsplit(":", maxsplit=1)[-1]))
    return len(items) if isinstance(items, list) and items else None
