"""Patches become blocks: activation, weighing, summing in one fixed order."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from landloom.raster.grid import Window
from landloom.raster.predict.plan import BlockPlan, PatchKey, Planner
from landloom.wire.enums import MosaicToMosaicActorEnum


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
    shifted = np.exp(outputs - outputs.max(axis=0))
    probabilities: NDArray[np.float32] = shifted / shifted.sum(axis=0)
    return probabilities


def blend(
    plan: BlockPlan,
    planner: Planner,
    patches: Mapping[PatchKey, NDArray[np.float32] | None],
    weights: NDArray[np.float32],
    valid: NDArray[np.bool_],
    labels: int,
) -> NDArray[np.float32]:
    """Return float32 (label, y, x) of a block, NaN where it is not valid.

    Every pixel sums its patches row by row, whatever block it lies in, so the sum is the same to
    the last bit for any cutting. A patch that was not run (None) has no valid pixel, so no pixel
    misses it.
    """
    window = plan.block.window
    out = np.zeros((labels, *window.shape_yx), np.float32)
    for key in plan.needed:
        output = patches[key]
        if output is None:
            continue
        place = planner.patch_window(key)
        common = planner.reach_window(key).clipped(window)
        rows, columns = common.shifted(-place.y0, -place.x0).slices()
        weight = weights[rows, None] * weights[None, columns]
        target_rows, target_columns = common.shifted(-window.y0, -window.x0).slices()
        out[:, target_rows, target_columns] += weight * output[:, rows, columns]
    out[:, ~valid] = np.nan
    return out


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    e = np.exp(-np.abs(logits))
    probability: NDArray[np.float32] = np.where(logits >= 0, 1 / (1 + e), e / (1 + e))
    return probability


def block_windows(plan: BlockPlan, planner: Planner) -> list[Window]:
    """Return the windows that must be read for a block: its own and those of fresh patches."""
    return [plan.block.window, *(planner.patch_window(key) for key in plan.fresh)]
