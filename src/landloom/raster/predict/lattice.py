"""The patch lattice: which windows the model sees, and how their overlaps are weighed.

Patch k of an axis covers lattice pixels [k*stride - clip, k*stride - clip + patch), where
stride = patch - 2*clip; its core is [k*stride, (k+1)*stride). The lattice is that of the CRS, so
two AOIs that overlap see the very same patches, and so do any two ways of cutting one AOI.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landloom.wire.enums import MergeModeEnum
from landloom.wire.requests import Inference


@dataclass(frozen=True, slots=True)
class PatchLattice:
    """Patches of one size, along one axis; both axes are alike."""

    patch: int
    clip: int
    blended: bool
    """Whether patches are blended over their whole width; else each fills its core alone."""

    @classmethod
    def of(cls, inference: Inference) -> PatchLattice:
        """Return the lattice that a request asks for."""
        blended = inference.merge_mode is MergeModeEnum.WEIGHTED_AVERAGE
        return cls(inference.patch_size, inference.clip_size, blended)

    @property
    def stride(self) -> int:
        """Pixels from one patch to the next."""
        return self.patch - 2 * self.clip

    @property
    def margin(self) -> int:
        """Pixels at each side of a patch that are not used at all.

        Without blending that is the whole clip. With it, the outer half: there a network sees its
        own padding more than the ground. So a model that looks no further than the margin gives
        the pixels that it would give over the whole mosaic at once.
        """
        return self.clip // 2 if self.blended else self.clip

    def first_pixel(self, index: int) -> int:
        """Return the lattice pixel where a patch starts."""
        return index * self.stride - self.clip

    def reach(self, index: int) -> tuple[int, int]:
        """Return the half-open range of lattice pixels that a patch has a say in."""
        start = self.first_pixel(index)
        return start + self.margin, start + self.patch - self.margin

    def over(self, start: int, end: int) -> range:
        """Return the patches that have a say in lattice pixels [start, end)."""
        inset = self.clip - self.margin
        first = (start + self.clip + self.margin - self.patch) // self.stride + 1
        return range(first, -(-(end + inset) // self.stride))

    def weights(self) -> NDArray[np.float32]:
        """Return (patch,): the weight of each pixel of a patch along one axis.

        Weights are 0 in the margin, rise over 2*(clip - margin) pixels as a squared sine, and are
        divided by the sum over all patches that cover a pixel, which repeats with the stride. So
        the weights of all patches at any pixel sum to one, and nothing about the AOI enters.
        """
        place = np.arange(self.patch) + 0.5
        inset = np.minimum(place, self.patch - place) - self.margin
        rise = 2 * (self.clip - self.margin)
        ramp = np.clip(inset / rise, 0, 1) if rise else (inset > 0).astype(np.float64)
        taper = np.sin(np.pi / 2 * ramp) ** 2
        phase = (np.arange(self.patch) - self.clip) % self.stride
        total = np.bincount(phase, taper, self.stride)
        weights: NDArray[np.float32] = (taper / total[phase]).astype(np.float32)
        return weights


def mirrored(start: int, end: int, size: int) -> NDArray[np.int64]:
    """Return the array pixels that stand for pixels [start, end) of an array of `size`.

    Pixels outside are mirrored at the array's edge, edge pixel included, as often as it takes; so
    an array smaller than a patch fills it.
    """
    place = np.arange(start, end) % (2 * size)
    indexes: NDArray[np.int64] = np.minimum(place, 2 * size - 1 - place)
    return indexes
