"""Patches become blocks: activation, weighing, summing in one fixed order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel
from landloom.raster.predict.plan import Block, BlockPlan, PatchKey, Planner
from landloom.wire.enums import MosaicToMosaicActorEnum


@dataclass(frozen=True, slots=True)
class Blended:
    """A finished block."""

    block: Block
    values: NDArray[np.float32]
    """(label, y, x), NaN where there is no value."""
    valid: int
    """How many pixels have one."""
    refused: int
    """How many have none because the model gave none, though all features were there."""


def activate(actor: MosaicToMosaicActorEnum, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn a patch's raw output (K, y, x) into what is stored.

    Segmentation becomes probabilities, patch by patch and before blending: logits of two patches
    have no common scale, so a confident patch would outvote its neighbour beyond its weight, while
    a weighted mean of probabilities is a probability again. With one label only, softmax would say
    1 everywhere; there the logit is that of a yes or no, and a sigmoid is what it means.
    """
    if actor is MosaicToMosaicActorEnum.REGRESSION_PYTORCH:
        return outputs
    if len(outputs) == 1:
        return _sigmoid(outputs)
    with np.errstate(invalid="ignore"):  # a model's infinities become NaN here, and are told of
        shifted = np.exp(outputs - outputs.max(axis=0))
        shifted /= shifted.sum(axis=0)
    probabilities: NDArray[np.float32] = shifted
    return probabilities


def blend(
    plan: BlockPlan,
    planner: Planner,
    output_of: Callable[[PatchKey], NDArray[np.float32] | None],
    weights: NDArray[np.float32],
    valid: NDArray[np.bool_],
    labels: int,
) -> Blended:
    """Return a block, NaN where it is not valid or where the model gave no number.

    Every pixel sums its patches row by row, whatever block it lies in, so the sum is the same to
    the last bit for any cutting. A patch that was not run (None) has no valid pixel, so no pixel
    misses it. A pixel for which any patch gives NaN or infinity, for any label, has no value.
    """
    window = plan.block.window
    out = np.zeros((labels, *window.shape_yx), np.float32)
    for key in plan.needed:
        output = output_of(key)
        if output is None:
            continue
        place = planner.patch_window(key)
        common = planner.reach_window(key).clipped(window)
        height, width = common.shape_yx
        _add(
            out,
            (common.y0 - window.y0, common.x0 - window.x0),
            np.ascontiguousarray(output),
            (common.y0 - place.y0, common.x0 - place.x0),
            (height, width),
            weights,
        )
    with_value, refused = _close(out, valid)
    return Blended(plan.block, out, with_value, refused)


@kernel
def _add(
    out: NDArray[np.float32],
    out_yx: tuple[int, int],
    patch: NDArray[np.float32],
    patch_yx: tuple[int, int],
    size_yx: tuple[int, int],
    weights: NDArray[np.float32],
) -> None:
    """Add a part of a weighted patch (label, y, x) to a block."""
    for label in range(out.shape[0]):
        for y in range(size_yx[0]):
            weight = weights[patch_yx[0] + y]
            source = patch[label, patch_yx[0] + y]
            target = out[label, out_yx[0] + y]
            for x in range(size_yx[1]):
                place = patch_yx[1] + x
                target[out_yx[1] + x] += (weight * weights[place]) * source[place]


@kernel
def _close(out: NDArray[np.float32], valid: NDArray[np.bool_]) -> tuple[int, int]:
    """Set pixels without a value to NaN; count those with one, and those the model refused."""
    labels, height, width = out.shape
    with_value = 0
    refused = 0
    for y in range(height):
        for x in range(width):
            total = np.float32(0)
            for label in range(labels):
                total += out[label, y, x] * np.float32(0)  # NaN for NaN and infinity
            if valid[y, x] and total == 0:
                with_value += 1
                continue
            refused += valid[y, x]
            for label in range(labels):
                out[label, y, x] = np.nan
    return with_value, refused


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    e = np.exp(-np.abs(logits))
    probability: NDArray[np.float32] = np.where(logits >= 0, 1 / (1 + e), e / (1 + e))
    return probability
