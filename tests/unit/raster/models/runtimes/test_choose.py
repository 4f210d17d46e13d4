"""A model runs by the fastest runtime that gives what torch gives, and says which that is."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.engine.exported import Bessel, BrainNet, Echo, HalfNet, Net, Tenth, Wild, exported
from tests.engine.tolerances import HALF_PRECISION, RUNTIMES

from landloom.errors import Cancelled, ModelRejected
from landloom.raster.models import archive, load
from landloom.raster.models.load import Runner, load_model
from landloom.raster.models.options import ModelOptions, Precision, RuntimeChoice
from landloom.raster.models.registry import ModelFile
from landloom.raster.models.runtimes import openvino
from landloom.raster.models.runtimes.base import deviation
from landloom.wire.requests import Inference

TORCH = ModelOptions(RuntimeChoice.TORCH)
OPENVINO = ModelOptions(RuntimeChoice.OPENVINO)


def request(labels: int = 3) -> Inference:
    return Inference(
        model_path="m.pt2",
        patch_size=32,
        clip_size=4,
        features=["b0", "b1"],
        labels=[f"l{number}" for number in range(labels)],
        max_batch_size=4,
    )


def patches(count: int = 3) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(1).random((count, 2, 32, 32)).astype(np.float32) * 100


def placed(file: ModelFile, labels: int = 3, **more: Any) -> Runner:
    return load_model(file, **more).prepare(request(labels))


class TestChoice:
    @pytest.mark.parametrize("part", [Net(), HalfNet(), BrainNet()])
    def test_runtimes_give_the_same(self, tmp_path: Path, part: torch.nn.Module) -> None:
        file = exported(tmp_path / "m.pt2", part, transforms=Tenth())
        fast, plain = placed(file), placed(file, options=TORCH)
        assert fast.runtime.name.startswith("openvino")
        assert plain.runtime.name.startswith("torch")
        assert not fast.notes
        assert deviation(fast.run(patches()), plain.run(patches())) <= RUNTIMES

    @pytest.mark.parametrize(
        ("part", "labels", "reason"), [(Bessel(), 2, "bessel_j0"), (Wild(), 2, "differs by")]
    )
    def test_torch_runs_what_openvino_does_not_give(
        self, tmp_path: Path, part: torch.nn.Module, labels: int, reason: str
    ) -> None:
        file = exported(tmp_path / "m.pt2", part)
        runner = placed(file, labels)
        assert runner.runtime.name.startswith("torch")
        assert "does not run by OpenVINO" in runner.notes[0]
        assert reason in runner.notes[0]
        with torch.inference_mode():
            wanted = part(torch.from_numpy(patches())).numpy()
        np.testing.assert_allclose(runner.run(patches()), wanted, atol=RUNTIMES)
        with pytest.raises(ModelRejected, match="does not run by OpenVINO"):
            placed(file, labels, options=OPENVINO)

    def test_the_environment_has_a_say(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = exported(tmp_path / "m.pt2", Echo())
        monkeypatch.setenv("LANDLOOM_RUNTIME", "torch")
        assert placed(file, 2).runtime.name.startswith("torch")

    def test_nobody_is_called_home(self, tmp_path: Path) -> None:
        placed(exported(tmp_path / "m.pt2", Echo()), 2)
        assert sys.modules["openvino_telemetry"] is None


class TestPrecision:
    def test_half_is_opt_in_and_close(self, tmp_path: Path) -> None:
        file = exported(tmp_path / "m.pt2", Net(), transforms=Tenth())
        half = ModelOptions(RuntimeChoice.TORCH, Precision.BF16)
        plain, rough = placed(file, options=TORCH), placed(file, options=half)
        share = deviation(rough.run(patches()), plain.run(patches()))
        assert 0 < share <= HALF_PRECISION

    def test_a_processor_without_it_says_so(self, tmp_path: Path) -> None:
        if openvino.can_compute(Precision.FP16):
            pytest.skip("this processor computes in fp16")
        file = exported(tmp_path / "m.pt2", Echo())
        runner = placed(file, 2, options=ModelOptions(precision=Precision.FP16))
        assert "no fp16" in runner.notes[0]
        np.testing.assert_array_equal(runner.run(patches()), patches())


class TestKeeping:
    def test_a_second_start_opens_no_archive_and_gives_the_same_bits(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = exported(tmp_path / "m.pt2", Net(), transforms=Tenth())
        first = placed(file, models=tmp_path / "models").run(patches())

        def refuse(*_: object) -> None:
            raise AssertionError("opened")

        monkeypatch.setattr(archive, "load_pt2", refuse)
        again = placed(file, models=tmp_path / "models").run(patches())
        np.testing.assert_array_equal(again, first)

    def test_what_did_not_convert_is_remembered(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = exported(tmp_path / "m.pt2", Bessel())
        first = placed(file, 2, models=tmp_path / "models")
        monkeypatch.setattr(openvino, "_compiled", None)  # calling it would fail
        again = placed(file, 2, models=tmp_path / "models")
        assert again.notes == first.notes

    def test_damaged_files_are_made_again(self, tmp_path: Path) -> None:
        file = exported(tmp_path / "m.pt2", Echo())
        placed(file, 2, models=tmp_path / "models")
        for path in (tmp_path / "models").rglob("*.*"):
            path.write_bytes(b"{}")
        runner = placed(file, 2, models=tmp_path / "models")
        np.testing.assert_array_equal(runner.run(patches()), patches())

    def test_a_folder_that_cannot_be_written_is_no_matter(self, tmp_path: Path) -> None:
        (tmp_path / "models").write_text("a file where a folder should be")
        runner = placed(exported(tmp_path / "m.pt2", Echo()), 2, models=tmp_path / "models")
        np.testing.assert_array_equal(runner.run(patches()), patches())


class TestThreads:
    def test_many_at_once_give_each_its_own(self, tmp_path: Path) -> None:
        runner = placed(exported(tmp_path / "m.pt2", Net()))
        given = [patches(3) + number for number in range(8)]
        wanted = [runner.run(each) for each in given]
        with ThreadPoolExecutor(4) as pool:
            for found, one in zip(pool.map(runner.run, given), wanted, strict=True):
                np.testing.assert_array_equal(found, one)

    @pytest.mark.parametrize("options", [TORCH, OPENVINO])
    def test_nothing_begins_after_a_stop(self, tmp_path: Path, options: ModelOptions) -> None:
        runner = placed(exported(tmp_path / "m.pt2", Echo()), 2, options=options)
        runner.stop()
        with pytest.raises(Cancelled):
            runner.run(patches())


def test_importing_the_loader_does_not_import_torch() -> None:
    # A start with a compiled model saves the seconds and the memory that torch takes.
    code = f"import sys, {load.__name__}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
