"""AOTInductor packages in an archive: whether their machine code fits this machine.

Loading code that was compiled for another device or instruction set crashes, or is merely warned
of by torch. So what the compiler noted beside the code is compared before anything is loaded.
"""

from __future__ import annotations

import json
import platform
import sys
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch._inductor.cpu_vec_isa import valid_vec_isa_list

from landloom.errors import ModelRejected
from landloom.raster.models.registry import ModelFile

FOLDER = "/data/aotinductor/"
NOTES = "metadata.json"

DEVICE, ISA = "AOTI_DEVICE_KEY", "AOTI_CPU_ISA"
MACHINE, PLATFORM = "AOTI_MACHINE", "AOTI_PLATFORM"
CAPABILITY = "AOTI_COMPUTE_CAPABILITY"

PLAIN = ("", "INVALID_VEC_ISA")
"""What the compiler notes where it used no vector instructions."""


def check_packages(file: ModelFile) -> None:
    """Compare what each package of an archive was compiled for with this machine.

    Raises:
        ModelRejected: They differ; the message names both.
    """
    with zipfile.ZipFile(file.path) as archive:
        for name in archive.namelist():
            if FOLDER in name and name.endswith(NOTES):
                _check(file, json.loads(archive.read(name)))


def _check(file: ModelFile, made_for: Mapping[str, Any]) -> None:
    device = str(made_for.get(DEVICE, "cpu"))
    if device == "cuda" and not torch.cuda.is_available():
        _reject(file, "a CUDA device", "a machine without one")
    for what, here in ((PLATFORM, sys.platform), (MACHINE, platform.machine())):
        there = made_for.get(what, here)
        if there != here:
            _reject(file, str(there), here)
    if device == "cuda":
        here = str(torch.cuda.get_device_capability())
        there = str(made_for.get(CAPABILITY) or here)
        if _digits(there) != _digits(here):
            _reject(file, f"CUDA compute capability {there}", here)
        return
    known = [str(each).upper() for each in valid_vec_isa_list()]
    there = str(made_for.get(ISA, "")).upper()
    if there not in (*PLAIN, *known):
        _reject(file, f"the instruction set {there}", ", ".join(known) or "none of its kind")


def _digits(capability: str) -> str:
    return "".join(each for each in capability if each.isdigit())


def _reject(file: ModelFile, made_for: str, here: str) -> None:
    raise ModelRejected(
        f"{file.name} holds machine code for {made_for}; this is {here}.",
        suggestion="Compile it on a machine like this one, or package the exported program instead:"
        " it runs anywhere.",
    )
