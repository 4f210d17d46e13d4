"""Overviews by plain numpy, to hold ours against."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray


def halved(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (..., y, x) at half the resolution: the mean of two by two pixels that are not NaN."""
    *outer, height, width = pixels.shape
    whole = np.full((*outer, height + height % 2, width + width % 2), np.nan)
    whole[..., :height, :width] = pixels
    blocks = whole.reshape(*outer, whole.shape[-2] // 2, 2, whole.shape[-1] // 2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(blocks, axis=(-3, -1)).astype(np.float32)
