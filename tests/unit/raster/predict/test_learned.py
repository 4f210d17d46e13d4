"""A real learned network over real scenes: what one shot over the whole image gives."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from tests.engine.cubes import all_pixels, cube, never, unheard
from tests.engine.tolerances import LEARNED, RUNTIMES

from landloom.raster.execute.local import LocalExecutor
from landloom.raster.models.archive import open_archive
from landloom.raster.models.load import load_model
from landloom.raster.models.options import ModelOptions, RuntimeChoice
from landloom.raster.models.registry import ModelFile, sha256_of
from landloom.raster.models.runtimes.base import deviation
from landloom.raster.models.runtimes.whole import assemble
from landloom.raster.predict.mosaic import predict_mosaic
from landloom.raster.store.zarr import CubeStore
from landloom.wire.requests import Inference

pytestmark = pytest.mark.timeout(900)  # half a minute, on a machine that does nothing else

SAMPLES = Path(__file__).parents[4] / "samples" / "imagery" / "sentinel-2"
BANDS = ("B02", "B03", "B04", "B08")
PATCH, CLIP = 256, 32


@pytest.fixture(scope="module")
def model_file() -> ModelFile:
    folder = os.environ.get("LANDLOOM_TEST_MODELS")
    path = Path(folder or "") / "ukis-csmask-4b-l2a" / "csmask-4b-l2a.pt2"
    if not folder or not path.is_file():
        pytest.skip("LANDLOOM_TEST_MODELS names no folder with the learned cloud mask model")
    return ModelFile(path, sha256_of(path), path.name)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that keeps the converted network: converting takes most of the time."""
    return tmp_path_factory.mktemp("models")


def scene(place: str) -> NDArray[np.float32]:
    """Return the four bands of a place's first date; nodata is 0 here."""
    date = min((SAMPLES / place).glob("*/B02.tif")).parent
    return np.stack([band(date / f"{name}.tif") for name in BANDS])


def band(path: Path) -> NDArray[np.float32]:
    with rasterio.open(path) as file:
        values: NDArray[np.float32] = file.read(1).astype(np.float32)
        return np.where(values == file.nodata, np.nan, values).astype(np.float32)


def request() -> Inference:
    return Inference(
        model_path="m.pt2",
        patch_size=PATCH,
        clip_size=CLIP,
        features=["b0", "b1", "b2", "b3"],
        labels=["clear", "cloud", "shadow"],
    )


def predicted(
    file: ModelFile, models: Path, pixels: NDArray[np.float32], folder: Path, shard: int
) -> NDArray[np.float32]:
    output = folder / f"p{shard}.zarr"
    with closing(LocalExecutor(2)) as executor:
        predict_mosaic(
            cube(folder / f"s{shard}.zarr", pixels, shard=shard, chunk=128, origin_yx=(0, 0)),
            request(),
            load_model(file, models=models),
            str(output),
            executor=executor,
            report=unheard,
            warn=unheard,
            cancelled=never,
            block=min(shard, 512),
        )
    return all_pixels(CubeStore.open(str(output)))


def merged(file: ModelFile, pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Run torch once on each patch and merge with weights, over the whole image in memory."""
    net = assemble(open_archive(file), "cpu")  # its half-precision weights widened
    _, height, width = pixels.shape
    stride = PATCH - 2 * CLIP
    margin = CLIP // 2
    place = np.minimum(np.arange(PATCH), np.arange(PATCH)[::-1]) + 0.5 - margin
    taper = np.sin(np.pi / 2 * np.clip(place / (2 * (CLIP - margin)), 0, 1)) ** 2
    weight = taper[:, None] * taper[None]
    border = [(0, 0), (PATCH, PATCH + stride), (PATCH, PATCH + stride)]
    padded = np.pad(np.nan_to_num(pixels), border, "symmetric")
    total = np.zeros((3, *padded.shape[1:]))
    weights = np.zeros(padded.shape[1:])
    for y in range(PATCH - CLIP - stride, PATCH + height + CLIP, stride):
        for x in range(PATCH - CLIP - stride, PATCH + width + CLIP, stride):
            there = slice(y, y + PATCH), slice(x, x + PATCH)
            with torch.inference_mode():
                given = torch.from_numpy(np.ascontiguousarray(padded[:, *there]))[None]
                found = torch.softmax(net(given), 1)[0].double().numpy()
            total[:, *there] += found * weight
            weights[there] += weight
    inside = slice(PATCH, PATCH + height), slice(PATCH, PATCH + width)
    whole = total[:, *inside] / weights[inside]
    whole[:, np.isnan(pixels).any(axis=0)] = np.nan
    return whole


@pytest.mark.parametrize("place", ["inn-valley", "flanders-timeseries"])
def test_equals_one_shot_torch_inference(
    model_file: ModelFile, models: Path, tmp_path: Path, place: str
) -> None:
    pixels = scene(place)
    found = predicted(model_file, models, pixels, tmp_path, 512)
    np.testing.assert_allclose(found, merged(model_file, pixels), atol=LEARNED)
    np.testing.assert_array_equal(predicted(model_file, models, pixels, tmp_path, 128), found)


def test_runtimes_agree(model_file: ModelFile, models: Path) -> None:
    pixels = np.nan_to_num(scene("inn-valley"))[None, :, :PATCH, :PATCH]
    fast, plain = (
        load_model(model_file, options=ModelOptions(choice), models=models).prepare(request())
        for choice in (RuntimeChoice.OPENVINO, RuntimeChoice.TORCH)
    )
    assert deviation(fast.run(pixels), plain.run(pixels)) <= RUNTIMES
