"""What a geometry model is: it finds the things that text prompts name in patches of a mosaic.

`ExportedGeometryModel` is the one for `.pt2` files; anything else with this method, made by a
function that a worker can call, can stand in its place (see `find_geometries`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Instance:
    """One thing that a model found in one patch."""

    prompt: int
    """Index of the prompt it answers."""
    score: float
    """0 to 1."""
    box: tuple[float, float, float, float]
    """x0, y0, x1, y1 in pixels of the patch."""
    mask: NDArray[np.bool_] | None
    """(y, x) of the patch; None where the model gives boxes only."""


class GeometryModel(Protocol):
    """Finds instances. It is used from one thread at a time."""

    @property
    def batch(self) -> int:
        """Most patches of one call; they are padded to one shape, so results never depend on it."""
        ...

    def find(self, patches: NDArray[np.float32], least_score: float) -> list[list[Instance]]:
        """Return the instances of each patch that score at least so much, for all prompts.

        Args:
            patches: Finite float32 (n, channel, y, x) of raw store values, n at most `batch`.
            least_score: 0 to 1.
        """
        ...
