"""What a runtime is: one model, placed and compiled for batches of one shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from landloom.raster.models.options import ModelOptions, Precision

TOLERANCE = {Precision.FP32: 1e-5, Precision.BF16: 5e-2, Precision.FP16: 1e-2}
"""Share of the largest output by which a runtime may differ from torch in single precision to be
taken as equal. In single precision only the order of summation differs (4e-7 of 0.3 was seen). Half
precision keeps 8 (bf16) or 11 (fp16) bits of each product, and errors add up over some 100 layers:
3e-3 of 0.3 was seen with bf16. More than that is another model."""

SAMPLE_RANGE = 3000.0
"""Of the pixels that models are tried on: like reflectances."""

type Shape = tuple[int, int, int, int]
"""Batch, channel, y, x."""


class Runtime(Protocol):
    """Runs batches of one shape. Several threads may call `run` at once."""

    name: str
    """Library, version, device and precision."""
    takes: Shape
    gives: tuple[int, ...]
    """Shape of the output of one batch."""
    streams: int
    """How many batches at once keep the device busy."""

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the raw output float32 (B, K, y, x) of one batch (B, C, y, x), C-contiguous.

        The GIL is free meanwhile.

        Raises:
            Cancelled: `stop` was called.
        """
        ...

    def stop(self) -> None:
        """End batches that are at work, where the library can."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a model is to be placed for."""

    channels: int
    patch: int
    """Pixels a side."""
    smallest_batch: int
    """The fewest patches that the export allows at a time."""
    largest_batch: int
    """The most patches that the export and the request allow at a time."""
    device: str
    """`cpu` or `cuda`."""
    options: ModelOptions

    def shape(self, patches: int) -> Shape:
        """Return the shape of a batch, as near to `patches` as is allowed."""
        batch = max(self.smallest_batch, min(patches, self.largest_batch))
        return batch, self.channels, self.patch, self.patch


def sample(shape: Shape) -> NDArray[np.float32]:
    """Return the batch that models are tried on: noise, the same on every machine."""
    values = np.random.default_rng(0).random(shape, np.float32)
    return values * np.float32(SAMPLE_RANGE)


def deviation(found: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Return the largest difference as a share of the largest output; infinite if shapes differ.

    Where both have no value they agree.
    """
    if found.shape != reference.shape:
        return float("inf")
    both = np.isnan(found) & np.isnan(reference)
    difference = np.where(both, 0, np.abs(found - reference)).max()
    scale = np.nanmax(np.abs(reference), initial=np.finfo(np.float32).tiny)
    share = float(difference / scale)
    return share if np.isfinite(share) else float("inf")
