"""How to run a model, as scripts say it."""

from __future__ import annotations

from dataclasses import dataclass

from landloom.wire.enums import MergeModeEnum, MosaicToMosaicActorEnum


@dataclass(frozen=True, slots=True)
class InferenceConfig:
    """A model and the way to run it; `**asdict(config)` is splatted into `predict_mosaic`."""

    model_path: str
    """URL or path of a `.pt2` file."""
    actor: MosaicToMosaicActorEnum
    """What the model's outputs mean."""
    patch_size: int
    """Side of the model's window, pixels."""
    clip_size: int
    """Pixels at each side of a patch that are down-weighted or dropped."""
    device: str
    """`cpu`, `cuda`, or one GPU of several, such as `cuda:1`."""
    features: list[str]
    """Bands of the mosaic in the order of the model's input channels."""
    labels: list[str]
    """Names of the model's output channels, in order."""
    max_batch_size: int = 8
    """Patches in one forward pass, at most."""
    merge_mode: MergeModeEnum = MergeModeEnum.WEIGHTED_AVERAGE
    """How overlapping patches become one pixel."""
