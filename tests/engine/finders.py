"""Geometry models without torch: what `find_geometries` takes in place of a `.pt2` file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from landloom.raster.geometries.model import Instance


@dataclass(frozen=True)
class AreaFinder:
    """Prompt k is answered by the 4-connected areas of channel k above 100."""

    prompts: int = 1
    batch: int = 3
    masks: bool = True

    def find(self, patches: NDArray[np.float32], least_score: float) -> list[list[Instance]]:
        assert len(patches) <= self.batch
        assert np.isfinite(patches).all()
        return [self._in_patch(patch, least_score) for patch in patches]

    def _in_patch(self, patch: NDArray[np.float32], least_score: float) -> list[Instance]:
        found = []
        for prompt in range(self.prompts):
            labels, _ = ndimage.label(patch[prompt] > 100)
            for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
                mask = labels == number
                score = float(patch[prompt][mask].max()) / 255
                if score >= least_score:
                    box = (columns.start, rows.start, columns.stop, rows.stop)
                    found.append(Instance(prompt, score, box, mask if self.masks else None))
        return found
