"""Settings of models are read from the environment, and a wrong one is told."""

from __future__ import annotations

import pytest

from landloom.errors import InvalidInput
from landloom.raster.models.options import ModelOptions, Precision, RuntimeChoice


def test_the_default_is_exact_and_fast() -> None:
    assert ModelOptions.from_environment({}) == ModelOptions(RuntimeChoice.AUTO, Precision.FP32)


def test_reads_both() -> None:
    found = ModelOptions.from_environment(
        {"LANDLOOM_RUNTIME": "Torch", "LANDLOOM_PRECISION": "bf16"}
    )
    assert found == ModelOptions(RuntimeChoice.TORCH, Precision.BF16)


@pytest.mark.parametrize("name", ["LANDLOOM_RUNTIME", "LANDLOOM_PRECISION"])
def test_names_what_is_not_known(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name}='tensorrt'.*Use one of"):
        ModelOptions.from_environment({name: "tensorrt"})
