"""Archives are loaded, checked by their own sizes, and run in batches of one shape."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.engine.exported import Doubled, Echo, HalfNet, Net, Tenth, Viewing, exported

from landloom.errors import ModelRejected
from landloom.raster.models.device import settled
from landloom.raster.models.load import load_model
from landloom.raster.models.options import ModelOptions, RuntimeChoice
from landloom.raster.models.registry import ModelFile, sha256_of
from landloom.wire.enums import MosaicToMosaicActorEnum
from landloom.wire.requests import Inference

TORCH = ModelOptions(RuntimeChoice.TORCH)


def request(channels: int = 2, labels: int = 3, **more: Any) -> Inference:
    said = {
        "model_path": "m.pt2",
        "patch_size": 32,
        "clip_size": 4,
        "features": [f"b{number}" for number in range(channels)],
        "labels": [f"l{number}" for number in range(labels)],
        "max_batch_size": 4,
    }
    return Inference(**(said | more))


def patches(count: int, channels: int = 2, side: int = 32) -> np.ndarray[Any, np.dtype[np.float32]]:
    rng = np.random.default_rng(1)
    return rng.random((count, channels, side, side)).astype(np.float32) * 100


class TestRunner:
    def test_applies_transforms_then_the_model(self, tmp_path: Path) -> None:
        model = load_model(exported(tmp_path / "m.pt2", Net(), transforms=Tenth()))
        given = patches(3)
        found = model.prepare(request()).run(given)
        with torch.inference_mode():
            wanted = Net()(torch.from_numpy(given) / 10).numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-5)

    def test_pads_to_a_fixed_batch(self, tmp_path: Path) -> None:
        model = load_model(exported(tmp_path / "m.pt2", Echo(), batch=3))
        runner = model.prepare(request(labels=2, max_batch_size=16))
        assert runner.batch == 3
        given = patches(2)
        np.testing.assert_array_equal(runner.run(given), given)

    def test_gives_a_patch_the_same_bits_at_any_place_of_a_batch(self, tmp_path: Path) -> None:
        runner = load_model(exported(tmp_path / "m.pt2", Net())).prepare(request())
        given = patches(4)
        together = runner.run(given)
        for index in range(4):
            np.testing.assert_array_equal(runner.run(given[index : index + 1])[0], together[index])

    def test_brings_a_resized_output_back(self, tmp_path: Path) -> None:
        model = load_model(exported(tmp_path / "m.pt2", Echo(), transforms=Doubled()))
        found = model.prepare(request(labels=2)).run(patches(1))
        assert found.shape == (1, 2, 32, 32)
        np.testing.assert_allclose(found, patches(1), rtol=1e-5)

    def test_bounds_batches_on_a_cpu_and_by_the_export(self, tmp_path: Path) -> None:
        file = exported(tmp_path / "m.pt2", Echo())
        for options, batch in ((TORCH, 64), (ModelOptions(), 1)):  # torch's own bound is 256 here
            runner = load_model(file, options=options).prepare(
                request(labels=2, max_batch_size=1000)
            )
            assert runner.batch == batch

    def test_widens_half_precision_on_a_cpu(self, tmp_path: Path) -> None:
        given = patches(2) / 100
        model = load_model(exported(tmp_path / "m.pt2", HalfNet()))
        model.prepare(request())  # twice: modules share the program's weights
        found = model.prepare(request()).run(given)
        with torch.inference_mode():
            wanted = HalfNet().net.float()(torch.from_numpy(given)).numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-5)

    def test_keeps_the_layout_of_models_that_need_it(self, tmp_path: Path) -> None:
        model = load_model(exported(tmp_path / "m.pt2", Viewing()))
        found = model.prepare(request(labels=2)).run(patches(2))
        np.testing.assert_array_equal(found, patches(2) * 2)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
    def test_falls_back_to_the_cpu_and_says_so(self, tmp_path: Path) -> None:
        model = load_model(exported(tmp_path / "m.pt2", Echo()), "cuda")
        runner = model.prepare(request(labels=2, device="cuda"))
        assert "no CUDA device" in runner.notes[0]

    @pytest.mark.parametrize(
        ("wanted", "found", "told"),
        [
            ("cuda", "cuda", ""),
            ("cuda:0", "cuda", ""),
            ("cuda:1", "cuda:1", ""),
            ("cuda:2", "cuda", "no cuda:2 here, 2 in all"),
        ],
    )
    def test_takes_the_device_that_is_named(
        self, wanted: str, found: str, told: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        device, notes = settled(wanted)
        assert device == found
        assert told in " ".join(notes)
        assert bool(told) == bool(notes)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
    def test_agrees_with_the_cpu_on_cuda(self, tmp_path: Path) -> None:
        file = exported(tmp_path / "m.pt2", Net(), transforms=Tenth())
        there = load_model(file, "cuda").prepare(request(device="cuda"))
        here = load_model(file).prepare(request())
        assert not there.notes
        np.testing.assert_allclose(there.run(patches(4)), here.run(patches(4)), atol=1e-5)


class TestCheck:
    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            (request(channels=3), "2 input channels.*features mean 3"),
            (request(labels=2), "3 output channels.*labels mean 2"),
            (request(patch_size=64), "32 pixels a side.*patch_size mean 64"),
        ],
    )
    def test_names_both_numbers(self, tmp_path: Path, asked: Inference, said: str) -> None:
        model = load_model(exported(tmp_path / "m.pt2", Net()))
        with pytest.raises(ModelRejected, match=said):
            model.check(asked)

    def test_holds_the_metadata_against_the_request(self, tmp_path: Path) -> None:
        text = "mlm:input:\n- bands: [red, nir]\nmlm:output:\n- classification:classes: [{}, {}]\n"
        file = exported(tmp_path / "m.pt2", Net(), extra={"mlm-metadata": text})
        with pytest.raises(ModelRejected, match="2 classes in its metadata"):
            load_model(file).check(request())

    def test_counts_the_features_of_every_time_step(self, tmp_path: Path) -> None:
        model = load_model(exported(tmp_path / "m.pt2", Net(channels=4), channels=4))
        change = MosaicToMosaicActorEnum.SEMANTIC_SEGMENTATION_CHANGE_DETECTION_PYTORCH
        model.check(request(actor=change))
        with pytest.raises(ModelRejected, match="4 input channels"):
            model.check(request())

    def test_refuses_a_model_that_fails(self, tmp_path: Path) -> None:
        class Asserting(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                torch._assert_async((x < -1).all(), "not today")
                return x

        model = load_model(exported(tmp_path / "m.pt2", Asserting()))
        with pytest.raises(ModelRejected, match="fails on a batch"):
            model.prepare(request(labels=2))


class TestLoadModel:
    def test_refuses_what_is_no_archive(self, tmp_path: Path) -> None:
        path = tmp_path / "m.pt2"
        path.write_bytes(b"weights")
        with pytest.raises(ModelRejected, match=r"is not a \.pt2 archive"):
            load_model(ModelFile(path, sha256_of(path), "m.pt2"))

    def test_names_both_versions_of_an_archive_from_the_future(self, tmp_path: Path) -> None:
        file = rewritten(exported(tmp_path / "m.pt2", Echo()), "archive_version", b"99")
        with pytest.raises(ModelRejected, match=r"version 99; torch .* reads version 0"):
            load_model(file)

    def test_names_the_torch_that_cannot_read_a_damaged_program(self, tmp_path: Path) -> None:
        file = rewritten(exported(tmp_path / "m.pt2", Echo()), "models/model.json", b"{}")
        with pytest.raises(
            ModelRejected, match=re.escape(f"cannot be loaded by torch {torch.__version__}")
        ):
            load_model(file)

    def test_runs_no_code_of_a_pickle(self, tmp_path: Path) -> None:
        trap = tmp_path / "sprung"
        file = exported(tmp_path / "m.pt2", Echo())
        hostile = pickle.dumps(Trap(str(trap)))
        with pytest.raises(ModelRejected):
            load_model(rewritten(file, "data/sample_inputs/model.pt", hostile))
        assert not trap.exists()

    def test_wants_a_program_by_the_name_of_model(self, tmp_path: Path) -> None:
        path = tmp_path / "m.pt2"
        program = torch.export.export(Echo(), (torch.rand(1, 2, 8, 8),))
        torch.export.pt2_archive._package.package_pt2(path, exported_programs={"net": program})
        with pytest.raises(ModelRejected, match="it holds net"):
            load_model(ModelFile(path, sha256_of(path), "m.pt2"))

    def test_wants_images(self, tmp_path: Path) -> None:
        path = tmp_path / "m.pt2"
        program = torch.export.export(torch.nn.Linear(3, 2), (torch.rand(1, 3),))
        torch.export.pt2_archive._package.package_pt2(path, exported_programs={"model": program})
        with pytest.raises(ModelRejected, match="one tensor"):
            load_model(ModelFile(path, sha256_of(path), "m.pt2"))


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def rewritten(file: ModelFile, ending: str, content: bytes) -> ModelFile:
    """Return a copy of an archive with one member replaced."""
    path = file.path.with_name("rewritten.pt2")
    replaced = False
    with zipfile.ZipFile(file.path) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            hit = name.endswith(ending)
            replaced |= hit
            new.writestr(name, content if hit else old.read(name))
    assert replaced
    return ModelFile(path, sha256_of(path), path.name)
