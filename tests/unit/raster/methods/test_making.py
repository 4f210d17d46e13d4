"""What outputs are made of, as their origins say it."""

from __future__ import annotations

import pytest
import torch

from landloom.raster.methods.making import prediction_origin
from landloom.raster.provenance import InputStore, UsedModel
from landloom.wire.requests import Inference

MODEL = UsedModel("m.pt2", "0" * 64, None)
SOURCE = InputStore("s3://b/mosaic.zarr", "1" * 64)


def identity(device: str) -> str:
    inference = Inference(
        model_path="m.pt2",
        patch_size=32,
        clip_size=4,
        features=["a"],
        labels=["b"],
        device=device,
    )
    return prediction_origin(inference, MODEL, SOURCE).digest


class TestPredictions:
    def test_are_known_by_the_device_that_is_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        without = identity("cuda")
        assert without == identity("cuda:1") == identity("cpu")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        assert identity("cuda") == identity("cuda:0") != without
