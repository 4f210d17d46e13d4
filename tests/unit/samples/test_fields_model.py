"""The sample's rule: reproducible, small, and its polygons lie on the edges of fields."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio import features
from torch.export.pt2_archive._package import load_pt2

SAMPLES = Path(__file__).parents[3] / "samples"
COMMITTED = SAMPLES / "models" / "fields.pt2"
INN = SAMPLES / "imagery/sentinel-2/inn-valley"
RADIUS = 16


@pytest.fixture(scope="module")
def maker():
    path = SAMPLES / "models" / "make_fields_model.py"
    spec = importlib.util.spec_from_file_location("make_fields_model", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run(path, patches):
    programs = load_pt2(str(path)).exported_programs
    with torch.inference_mode():
        return programs["model"].module()(programs["transforms"].module()(patches))


@pytest.fixture(scope="module")
def inn():
    """(8, 256, 512): both seasons' bands in the order of the recipe."""
    bands = []
    for date in ("2021-06-17", "2021-09-25"):
        for band in ("B04", "B03", "B02", "B08"):
            with rasterio.open(INN / date / f"{band}.tif") as file:
                bands.append(file.read(1)[60:316, 40:552])
    return np.stack(bands).astype(np.float32)


@pytest.fixture(scope="module")
def probabilities(inn):
    """(3, 256, 512), of two patches side by side."""
    halves = np.stack((inn[..., :256], inn[..., 256:]))
    logits = run(COMMITTED, torch.from_numpy(halves)).softmax(dim=1).numpy()
    return np.concatenate(list(logits), axis=-1)


class TestFile:
    def test_is_what_the_script_builds(self, maker, tmp_path, inn):
        rebuilt = maker.build(tmp_path / "fields.pt2")
        patches = torch.from_numpy(np.stack((inn[..., :256], inn[..., 100:356], inn[..., 256:])))
        torch.testing.assert_close(run(rebuilt, patches), run(COMMITTED, patches))

    def test_is_small_and_names_no_place_of_its_making(self):
        content = COMMITTED.read_bytes()
        assert len(content) < 200_000
        assert str(SAMPLES.parent).encode() not in content
        assert b"site-packages" not in content

    @pytest.mark.parametrize("batch", [1, 3])
    def test_takes_any_batch(self, batch):
        logits = run(COMMITTED, torch.zeros(batch, 8, 256, 256))
        assert logits.shape == (batch, 3, 256, 256)
        assert torch.isfinite(logits).all()

    def test_looks_no_further_than_it_says(self, inn):
        left = run(COMMITTED, torch.from_numpy(inn[None, :, :, 100:356]))
        right = run(COMMITTED, torch.from_numpy(inn[None, :, :, 164:420]))
        inner = slice(RADIUS, 256 - RADIUS)
        torch.testing.assert_close(
            left[:, :, inner, 64 + RADIUS : 256 - RADIUS], right[:, :, inner, RADIUS : 192 - RADIUS]
        )


class TestFields:
    def test_are_many_and_cover_a_third_of_the_land(self, probabilities):
        field = probabilities[1] >= 0.5
        areas = [
            np.count_nonzero(features.rasterize([shape], field.shape, dtype="uint8"))
            for shape, _ in features.shapes(field.astype(np.uint8), mask=field)
        ]
        assert sum(area >= 30 for area in areas) > 120
        assert 0.2 < field.mean() < 0.5
        # Fields that run into one another would make one of half the picture.
        assert max(areas) < 0.05 * field.size

    def test_edges_lie_where_the_image_changes(self, inn, probabilities):
        field = probabilities[1] >= 0.5
        rim = grown(field) & ~field
        farmed = probabilities[0] < 0.5
        change = image_change(inn)
        on_the_rim = change[rim & farmed].mean()
        print(on_the_rim / change[field].mean())
        assert on_the_rim > 2.5 * change[field].mean()
        for by in (4, 8, 16):
            moved = np.roll(rim, (by, -by), axis=(0, 1)) & farmed
            print(change[moved].mean(), on_the_rim)

    def test_are_not_water_forest_or_town(self, inn, probabilities):
        ndwi = (inn[[1, 5]] - inn[[3, 7]]) / (inn[[1, 5]] + inn[[3, 7]])
        river = (ndwi > 0.1).all(axis=0)
        assert river.mean() > 0.1
        assert (probabilities[1] >= 0.5)[river].mean() < 0.01
        forest = (slice(250 - 60, 280 - 60), slice(190 - 40, 230 - 40))
        town = (slice(95 - 60, 135 - 60), slice(300 - 40, 345 - 40))
        for place in (forest, town):
            assert (probabilities[1] >= 0.5)[place].mean() < 0.15


def grown(mask):
    wide = np.pad(mask, 1)
    return mask | wide[2:, 1:-1] | wide[:-2, 1:-1] | wide[1:-1, 2:] | wide[1:-1, :-2]


def image_change(bands):
    """The gradient's length over all bands, by another stencil than the model's."""
    tone = np.sqrt(bands / 10000)
    down, across = np.gradient(tone, axis=(1, 2))
    return np.sqrt((down**2 + across**2).sum(axis=0))
