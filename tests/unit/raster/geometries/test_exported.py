"""Geometry models in `.pt2` files: what fits, what is refused and how it is said."""

import numpy as np
import pytest
import torch
from tests.engine.exported import Net, exported
from tests.engine.geometry_models import SIDE, BlobFinder, blob_finder

from landloom.errors import InvalidInput, ModelRejected
from landloom.raster.geometries.exported import open_geometry_model
from landloom.wire.requests import GeometryInference

LEFT = (slice(2, 9), slice(3, 7))
RIGHT = (slice(10, 14), slice(9, 15))


class Doubled(torch.nn.Module):
    """A transform that stretches a half-size patch."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(image, scale_factor=2.0, mode="nearest")


def asked(file, *prompts, **more) -> GeometryInference:
    said = {
        "model_path": str(file.path), "features": ["r", "g", "b"],
        "text_prompt": list(prompts or ["red"]), "patch_size": SIDE, "clip_size": 4,
        "max_batch_size": 4, **more,
    }  # fmt: skip
    return GeometryInference(**said)


def patches(count: int = 1, side: int = SIDE) -> np.ndarray:
    """Patches with a red area of 240, a red one of 150 and a blue one over it of 220."""
    scale = side / SIDE
    out = np.zeros((count, 3, side, side), np.float32)

    def scaled(area):
        return tuple(slice(round(each.start * scale), round(each.stop * scale)) for each in area)

    out[(slice(None), 0, *scaled(LEFT))] = 240
    out[(slice(None), 0, *scaled(RIGHT))] = 150
    out[(slice(None), 2, *scaled(RIGHT))] = 220
    return out


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    return blob_finder(tmp_path_factory.mktemp("models") / "finder.pt2")


def drawn(area) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[area] = True
    return mask


class TestFind:
    def test_gives_mask_box_and_score_of_each_prompt(self, model_file):
        model = open_geometry_model(model_file, asked(model_file, "red", "blue"))
        (found,) = model.find(patches(), 0.5)
        assert [(each.prompt, round(each.score * 255)) for each in found] == [
            (0, 240), (0, 150), (1, 220)
        ]  # fmt: skip
        np.testing.assert_array_equal(found[0].mask, drawn(LEFT))
        np.testing.assert_array_equal(found[2].mask, drawn(RIGHT))
        assert found[0].box == pytest.approx((3, 2, 7, 9))

    def test_keeps_what_scores_enough(self, model_file):
        model = open_geometry_model(model_file, asked(model_file, "red"))
        (found,) = model.find(patches(), 0.9)
        assert [round(each.score * 255) for each in found] == [240]

    def test_words_are_joined_in_a_prompt(self, model_file):
        model = open_geometry_model(model_file, asked(model_file, "very red"))
        (found,) = model.find(patches(), 0.0)
        assert [round(each.score * 255) for each in found if each.score] == [240]

    def test_a_short_batch_gives_what_a_full_one_gives(self, model_file):
        model = open_geometry_model(model_file, asked(model_file, "red"))
        assert model.batch == 4
        assert len(model.find(patches(3), 0.5)) == 3
        whole, single = model.find(patches(4), 0.5)[2], model.find(patches(), 0.5)[0]
        for one, other in zip(whole, single, strict=True):
            assert (one.score, one.box) == (other.score, other.box)
            np.testing.assert_array_equal(one.mask, other.mask)

    def test_patches_of_another_size_are_stretched_and_masks_back(self, model_file):
        model = open_geometry_model(model_file, asked(model_file, "red", patch_size=3 * SIDE))
        (found,) = model.find(patches(side=3 * SIDE), 0.5)
        assert found[0].mask.shape == (3 * SIDE, 3 * SIDE)
        mask = patches(side=3 * SIDE)[0, 0] == 240
        agree = (found[0].mask & mask).sum() / (found[0].mask | mask).sum()
        assert agree > 0.8
        assert found[0].box == pytest.approx((9, 6, 21, 27), abs=3)

    def test_masks_of_half_the_size_are_stretched(self, tmp_path):
        file = blob_finder(tmp_path / "half.pt2", model=BlobFinder(mask_every=2))
        model = open_geometry_model(file, asked(file))
        found = model.find(patches(), 0.5)[0][0]
        assert found.mask.shape == (SIDE, SIDE)
        assert abs(int(found.mask.sum()) - 28) <= 14

    def test_transforms_come_first(self, tmp_path):
        file = blob_finder(
            tmp_path / "t.pt2", side=SIDE // 2, transforms=Doubled(), model=BlobFinder()
        )
        model = open_geometry_model(file, asked(file, patch_size=SIDE // 2, clip_size=2))
        small = np.zeros((1, 3, SIDE // 2, SIDE // 2), np.float32)
        small[0, 0, 2:5, 1:4] = 255
        (found,) = model.find(small, 0.5)
        np.testing.assert_array_equal(found[0].mask, small[0, 0] > 0)

    def test_a_fixed_number_of_prompts_is_filled_up(self, tmp_path):
        file = blob_finder(tmp_path / "fixed.pt2", batch=1, prompts=2)
        model = open_geometry_model(file, asked(file, "red", "green", "blue"))
        assert model.batch == 1
        (found,) = model.find(patches(), 0.5)
        assert [each.prompt for each in found] == [0, 0, 2]


class TestRefused:
    def test_another_number_of_features(self, model_file):
        with pytest.raises(ModelRejected, match=r"3 input channels, .* features mean 2"):
            open_geometry_model(model_file, asked(model_file, features=["r", "g"]))

    def test_an_unknown_word_before_a_pixel_is_read(self, model_file):
        with pytest.raises(InvalidInput, match="'castle' is not in the model's vocabulary"):
            open_geometry_model(model_file, asked(model_file, "red castle"))

    def test_a_segmentation_model_is_told_the_interface(self, tmp_path):
        file = exported(tmp_path / "net.pt2", Net(3), channels=3, extra={"tokenizer.json": "{}"})
        with pytest.raises(ModelRejected, match=r"scores \(B, P, N\)"):
            open_geometry_model(file, asked(file))

    def test_a_file_without_a_tokenizer(self, tmp_path):
        file = exported(tmp_path / "net.pt2", Net(3), channels=3)
        with pytest.raises(ModelRejected, match=r"holds no tokenizer\.json"):
            open_geometry_model(file, asked(file))

    def test_without_cuda_the_model_runs_here_and_says_so(self, model_file):
        if torch.cuda.is_available():
            pytest.skip("there is a CUDA device")
        model = open_geometry_model(model_file, asked(model_file, device="cuda"))
        assert model.device == "cpu"
        assert "no CUDA device" in model.notes[0]
