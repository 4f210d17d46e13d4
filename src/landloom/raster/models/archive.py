"""Open a `.pt2` archive: programs, compiled packages, and what the file says of itself.

A `.pt2` is a zip that `package_pt2` wrote. Ours holds `model` and perhaps `transforms`, each as an
exported program or as an AOTInductor package, and may hold extra files, among them `mlm-metadata`.
Model files are code: they are loaded in a workload, never in the API's process. Pickles in them may
hold tensors only; an AOTInductor package is machine code, and is as trusted as who made it.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.pt2_archive._package import load_pt2
from torch.export.pt2_archive.constants import ARCHIVE_VERSION_VALUE

from landloom.errors import ModelRejected
from landloom.raster.models.container import archive_version, unzipped
from landloom.raster.models.package import check_packages
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
    packages: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """AOTInductor packages, loaded; each is called as a module is."""


def open_archive(file: ModelFile) -> Archive:
    """Load what an archive holds; programs on the CPU, packages where they were compiled for.

    Raises:
        ModelRejected: It is not an archive that this torch can load, it was compiled for another
            machine, or it has no `model`.
    """
    version = archive_version(file.path)
    if version != ARCHIVE_VERSION_VALUE:
        raise ModelRejected(
            f"{file.name} is a .pt2 archive of version {version}; torch {torch.__version__} reads"
            f" version {ARCHIVE_VERSION_VALUE}.",
            suggestion="Export the model anew with the torch of this machine.",
        )
    check_packages(file)
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
    if MODEL not in {*contents.exported_programs, *contents.aoti_runners}:
        found = ", ".join(sorted([*contents.exported_programs, *contents.aoti_runners])) or "none"
        raise ModelRejected(
            f"{file.name} holds no program 'model'; it holds {found}.",
            suggestion="Package it with package_pt2(file, exported_programs={'model': ...}).",
        )
    extra = {name.rsplit("/", 1)[-1]: text for name, text in contents.extra_files.items()}
    packages = {
        name: package
        for name, package in contents.aoti_runners.items()
        if name not in contents.exported_programs
    }
    return Archive(contents.exported_programs, version, extra.get("mlm-metadata"), extra, packages)


def has_extra(file: ModelFile, name: str) -> bool:
    """Tell whether an archive has an extra file, without loading its programs.

    Raises:
        ModelRejected: It is no archive.
    """
    with unzipped(file.path) as archive:
        return any(each.endswith(f"/extra/{name}") for each in archive.namelist())


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
