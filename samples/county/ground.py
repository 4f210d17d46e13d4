"""The ground: the Inn valley's two dates, mirrored without end over a UTM grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

BANDS = ("B02", "B03", "B04", "B08")
DATES = {"planting": "2021-06-17", "harvest": "2021-09-25"}
VEGETATION, BARE, WATER = 4, 5, 6
"""Classes of the Sentinel-2 scene classification."""

type Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Ground:
    """One season's pixels, one period of their mirrored pattern.

    The pattern is anchored at the origin of the CRS, so every scene of a zone shows the same
    fields at the same place.
    """

    bands: NDArray[np.uint16]
    """(band, y, x): numbers of the source and their mirror image, 10 m."""
    classes: NDArray[np.uint8]
    """(y, x): scene classes of clear ground, 20 m."""

    def read(self, band: int, rows: Indices, columns: Indices) -> NDArray[np.uint16]:
        """Return (y, x) numbers of the lattice rows and columns, 10 m."""
        _, height, width = self.bands.shape
        numbers: NDArray[np.uint16] = self.bands[band][rows % height][:, columns % width]
        return numbers

    def read_classes(self, rows: Indices, columns: Indices) -> NDArray[np.uint8]:
        """Return (y, x) scene classes of the lattice rows and columns, 20 m."""
        height, width = self.classes.shape
        classes: NDArray[np.uint8] = self.classes[rows % height][:, columns % width]
        return classes


def load_ground(imagery: Path, season: str) -> Ground:
    """Return the pixels of the season's date in the sample imagery."""
    folder = imagery / "sentinel-2" / "inn-valley" / DATES[season]
    bands = []
    for name in BANDS:
        with rasterio.open(folder / f"{name}.tif") as source:
            pixels = source.read(1)
        bands.append(_mirrored(pixels))
    stacked = np.stack(bands)
    return Ground(stacked, _classify(stacked))


def _mirrored(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    wide = np.concatenate((pixels, pixels[:, ::-1]), axis=1)
    return np.concatenate((wide, wide[::-1]), axis=0)


def _classify(bands: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return scene classes at half the resolution: plants, bare soil or water."""
    count, height, width = bands.shape
    blocks = bands.reshape(count, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
    _, green, red, nir = blocks
    classes = np.where((nir - red) > 0.4 * (nir + red), VEGETATION, BARE)
    return np.where(green > nir, WATER, classes).astype(np.uint8)
