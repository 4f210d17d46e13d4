"""Machine code in an archive is held against this machine before it is loaded."""

from __future__ import annotations

import json
import platform
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.engine.exported import Echo
from torch._inductor import aoti_compile_and_package
from torch.export.pt2_archive._package import package_pt2

from landloom.errors import ModelRejected
from landloom.raster.models.load import load_model
from landloom.raster.models.registry import ModelFile, sha256_of
from landloom.wire.requests import Inference

NOTE = "data/aotinductor/model/code.wrapper_metadata.json"


def described(path: Path, **notes: str) -> ModelFile:
    """Write an archive that says what its code was compiled for, and holds none."""
    here = {
        "AOTI_DEVICE_KEY": "cpu",
        "AOTI_PLATFORM": "linux",
        "AOTI_MACHINE": platform.machine(),
        "AOTI_CPU_ISA": "",
        "AOTI_COMPUTE_CAPABILITY": "",
    }
    package_pt2(path, extra_files={"nothing": ""})
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].split("/")[0]
        archive.writestr(f"{root}/{NOTE}", json.dumps(here | notes))
    return ModelFile(path, sha256_of(path), path.name)


class TestMismatch:
    @pytest.mark.parametrize(
        ("notes", "said"),
        [
            ({"AOTI_MACHINE": "vax"}, f"machine code for vax; this is {platform.machine()}"),
            ({"AOTI_PLATFORM": "win32"}, "machine code for win32; this is linux"),
            ({"AOTI_CPU_ISA": "AVX9999"}, "the instruction set AVX9999; this is"),
        ],
    )
    def test_names_both(self, tmp_path: Path, notes: dict[str, str], said: str) -> None:
        with pytest.raises(ModelRejected, match=said):
            load_model(described(tmp_path / "m.pt2", **notes))

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
    def test_wants_the_device(self, tmp_path: Path) -> None:
        file = described(tmp_path / "m.pt2", AOTI_DEVICE_KEY="cuda")
        with pytest.raises(ModelRejected, match="for a CUDA device; this is a machine without"):
            load_model(file)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    path = tmp_path_factory.mktemp("package") / "m.pt2"
    given = torch.rand(2, 2, 32, 32)
    batch = ({0: torch.export.Dim("batch", min=1, max=64)},)
    program = torch.export.export(Echo(), (given,), dynamic_shapes=batch)
    aoti_compile_and_package(program, package_path=str(path))
    return ModelFile(path, sha256_of(path), path.name)


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling a package needs g++")
def test_runs_by_torch_and_says_what_is_taken_on_trust(package: ModelFile) -> None:
    request = Inference(
        model_path="m.pt2", patch_size=32, clip_size=4, features=["a", "b"], labels=["c", "d"]
    )
    runner = load_model(package).prepare(request)
    assert runner.runtime.name.startswith("torch")
    assert "taken on trust" in runner.notes[0]
    given = np.random.default_rng(0).random((3, 2, 32, 32)).astype(np.float32)
    np.testing.assert_array_equal(runner.run(given), given)
