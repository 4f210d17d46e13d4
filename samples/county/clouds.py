"""Clouds: shapes from real scene classifications, enlarged, mirrored, laid over one another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from county.ground import Ground

SHADOW, MEDIUM, HIGH, CIRRUS = 3, 8, 9, 10
"""Classes of the Sentinel-2 scene classification."""

CLOUDS = (MEDIUM, HIGH, CIRRUS)
LEAST_COVER, MOST_COVER = 0.10, 0.60
MUST_BE_CLEAR = 2
"""Scenes of a season in which every pixel is clear, at least."""

SHADOW_SHIFT = (24, 17)
"""Rows and columns of 20 m from a cloud to its shadow, 590 m."""

type Float = NDArray[np.float32]
type Indices = NDArray[np.int64]
type Classes = NDArray[np.uint8]


@dataclass(frozen=True)
class Layer:
    """One enlarged, mirrored shape."""

    shape: Float
    """(y, x), one period of the mirrored shape, 0 clear to 1 cloud."""
    enlarged: float
    """20 m pixels for each pixel of `shape`."""
    offset_yx: tuple[float, float]
    weight: float

    def read(self, rows: Indices, columns: Indices) -> Float:
        """Return (y, x) cloudiness of the lattice rows and columns of 20 m, interpolated."""
        height, width = self.shape.shape
        y0, y1, down = _between(rows, self.enlarged, self.offset_yx[0], height)
        x0, x1, right = _between(columns, self.enlarged, self.offset_yx[1], width)
        upper = self.shape[y0] * (1 - down[:, None]) + self.shape[y1] * down[:, None]
        values = (upper[:, x0] * (1 - right) + upper[:, x1] * right).astype(np.float32, copy=False)
        return values * np.float32(self.weight)


@dataclass(frozen=True)
class Sky:
    """The cloudiness of one scene; a pixel above `threshold` is cloud."""

    layers: tuple[Layer, ...]
    threshold: float = 0.0

    def cloudiness(self, rows: Indices, columns: Indices) -> Float:
        """Return (y, x): above 0 where there is cloud, the more the thicker."""
        total = sum(layer.read(rows, columns) for layer in self.layers)
        return np.asarray(total, dtype=np.float32) - np.float32(self.threshold)


def load_shapes(imagery: Path) -> list[Float]:
    """Return (y, x) cloudiness of real scenes, 0 to 1: the Sahara first, then Flanders."""
    folder = imagery / "sentinel-2"
    sahara = _read(folder / "29RKH-sahara-100m/2020-02-19/SCL.tif")
    shapes = [np.isin(sahara, CLOUDS)]
    flanders = folder / "flanders-timeseries"
    shapes.append(np.isin(_read(flanders / "2023-10-07/SCL.tif"), CLOUDS))
    # These days are wholly cloudy: the shapes are those of the thick clouds among the thin.
    shapes += [_read(flanders / day / "SCL.tif") == HIGH for day in ("2023-11-06", "2023-11-11")]
    return [_softened(shape.astype(np.float32)) for shape in shapes]


def draw_skies(
    shapes: list[Float], count: int, sample: tuple[Indices, Indices], rng: np.random.Generator
) -> list[Sky]:
    """Return `count` skies whose cover over the sample of lattice rows and columns is in range."""
    # Evenly over the range with a margin: ground that must be clear is opened up afterwards.
    covers = rng.permutation(np.linspace(LEAST_COVER + 0.05, MOST_COVER - 0.08, count))
    return [_draw_sky(shapes, float(cover), sample, rng) for cover in covers]


def classify(skies: list[Sky], ground: Ground, rows: Indices, columns: Indices) -> Classes:
    """Return (scene, y, x) scene classes of a season over lattice rows and columns of 20 m.

    A pixel that clouds and shadows leave clear in fewer than MUST_BE_CLEAR scenes is cleared in
    those where its cloud is thinnest.
    """
    down, right = SHADOW_SHIFT
    clear = ground.read_classes(rows, columns)
    above = np.concatenate((rows[0] - np.arange(down, 0, -1), rows))
    before = np.concatenate((columns[0] - np.arange(right, 0, -1), columns))
    cloudiness = np.stack([sky.cloudiness(above, before) for sky in skies])
    here = cloudiness[:, down:, right:]
    shaded = cloudiness[:, :-down, :-right] > 0
    classes = np.where(shaded, np.uint8(SHADOW), clear)
    for least, kind in ((0.0, CIRRUS), (0.05, MEDIUM), (0.15, HIGH)):
        classes[here > least] = kind
    missing = ((here <= 0) & ~shaded).sum(axis=0) < MUST_BE_CLEAR
    thinnest = np.argsort(here[:, missing], axis=0, kind="stable")[:MUST_BE_CLEAR]
    pixels = classes[:, missing]
    np.put_along_axis(pixels, thinnest, clear[missing][None], axis=0)
    classes[:, missing] = pixels
    return classes


def _draw_sky(
    shapes: list[Float], cover: float, sample: tuple[Indices, Indices], rng: np.random.Generator
) -> Sky:
    sahara, *flanders = shapes
    layers = (
        _draw_layer(sahara, rng.uniform(4.0, 9.0), 1.0, rng),
        _draw_layer(flanders[rng.integers(len(flanders))], rng.uniform(12.0, 25.0), 0.6, rng),
        _draw_layer(flanders[rng.integers(len(flanders))], rng.uniform(3.0, 6.0), 0.25, rng),
    )
    values = Sky(layers).cloudiness(*sample)
    return Sky(layers, float(np.quantile(values, 1.0 - cover)))


def _draw_layer(shape: Float, enlarged: float, weight: float, rng: np.random.Generator) -> Layer:
    turned = shape.T if rng.random() < 0.5 else shape
    wide = np.concatenate((turned, turned[:, ::-1]), axis=1)
    mirrored = np.ascontiguousarray(np.concatenate((wide, wide[::-1]), axis=0))
    height, width = mirrored.shape
    return Layer(mirrored, enlarged, (rng.uniform(0, height), rng.uniform(0, width)), weight)


def _between(
    positions: Indices, enlarged: float, offset: float, period: int
) -> tuple[Indices, Indices, Float]:
    """Return the two indices around each position and the share of the second one."""
    at = positions / enlarged + offset
    first = np.floor(at)
    share = (at - first).astype(np.float32)
    lower = first.astype(np.int64)
    return lower % period, (lower + 1) % period, share


def _softened(mask: Float) -> Float:
    """Blur a mask over some 7 px, so that enlarging it draws round clouds, not squares."""
    for _ in range(3):
        for axis in (0, 1):
            before = np.roll(mask, 1, axis)
            mask = (before + mask + np.roll(mask, -1, axis)) / np.float32(3.0)
    return mask


def _read(path: Path) -> Classes:
    with rasterio.open(path) as source:
        pixels: Classes = source.read(1)
    return pixels
