"""Split areas where they have a waist: touching fields that a model ran together.

A surface over one whole area (metres to its edge, or the score) is flooded from its summits down.
Where two floods meet, the shallower summit is given up if it rises less than `depth` above the
saddle; otherwise both stay and the area is split there. It is done on whole areas, so tiles leave
no mark. Memory is some 60 bytes a pixel of the window round an area; areas whose window has more
than LARGEST_WINDOW pixels are left whole, of which whoever splits is told.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize.config import Watershed
from landloom.raster.vectorize.drawing import drawn, window_of
from landloom.raster.vectorize.label import root_of
from landloom.raster.vectorize.shapes import Shapes, concatenated
from landloom.raster.vectorize.tile import polygonize_tile

LARGEST_WINDOW = 2**24
"""Pixels: 4096 x 4096, a gigabyte while it is split."""


def split_shapes(
    shapes: Shapes,
    way: Watershed,
    ground: NDArray[np.float64],
    source: CubeStore,
    time_index: int,
    feature: str,
    *,
    stats: bool,
) -> tuple[list[Shapes], NDArray[np.int64], int]:
    """Split areas.

    Args:
        shapes: Areas of pixels, of one part each.
        way: How.
        ground: (2,): metres that a pixel is high and wide.
        source: The prediction, for scores.
        time_index: Of the areas.
        feature: Of the areas.
        stats: Whether to take statistics of the pieces.

    Returns:
        What was split, the numbers of the shapes that stay as they are, and how many of these
        were not looked at, because their window is too large.
    """
    split: list[Shapes] = []
    whole: list[int] = []
    too_large = 0
    for shape in range(len(shapes)):
        window = window_of(shapes, shape)
        if window.shape_yx[0] * window.shape_yx[1] > LARGEST_WINDOW:
            whole.append(shape)
            too_large += 1
            continue
        mask = drawn(shapes, shape, window)
        scores = None
        if way.surface == "score":
            scores = source.read(time_index, [feature], window)[0]
            surface = np.zeros(mask.shape)
            surface[1:-1, 1:-1] = scores
        else:
            surface = edge_distance(mask, ground[0], ground[1])
        basins = flood(mask, surface, way.depth)
        pieces = np.ascontiguousarray(basins[1:-1, 1:-1])
        if pieces.max() <= 1:
            whole.append(shape)
            continue
        if stats and scores is None:
            scores = source.read(time_index, [feature], window)[0]
        found = polygonize_tile(
            pieces,
            np.ascontiguousarray(scores) if stats and scores is not None else None,
            origin_yx=(window.y0, window.x0),
        )
        split.append(found.closed)
    return ([concatenated(split)] if split else []), np.array(whole, np.int64), too_large


def flood(mask: NDArray[np.uint8], surface: NDArray[np.float64], depth: float) -> NDArray[np.int32]:
    """Number the basins of a surface from 1, in the order of their first pixel.

    Args:
        mask: (y, x), framed: 1 where the area is.
        surface: (y, x).
        depth: How far a saddle lies below the lower of two summits that both stay.

    Returns:
        (y, x): 0 outside. Each basin is 4-connected.
    """
    inside = np.flatnonzero(mask.ravel())
    order = inside[np.argsort(-surface.ravel()[inside], kind="stable")]
    return _flood(mask, surface, order, depth)


@kernel
def _flood(
    mask: NDArray[np.uint8],
    surface: NDArray[np.float64],
    order: NDArray[np.int64],
    depth: float,
) -> NDArray[np.int32]:
    width = mask.shape[1]
    heights = surface.reshape(-1)
    basin = np.zeros(mask.size, np.int32)
    parent = np.zeros(order.size + 1, np.int64)
    summit = np.zeros(order.size + 1)
    used = 0
    for at in order:
        best, best_height = 0, -np.inf
        for step in (-width, -1, 1, width):
            other = basin[at + step]
            if other and heights[at + step] > best_height:
                best, best_height = other, heights[at + step]
        if best == 0:
            used += 1
            parent[used] = used
            summit[used] = heights[at]
            basin[at] = used
            continue
        basin[at] = best
        for step in (-width, -1, 1, width):
            other = basin[at + step]
            if other == 0:
                continue
            a, b = root_of(parent, best), root_of(parent, other)
            if a != b and min(summit[a], summit[b]) - heights[at] < depth:
                low, high = min(a, b), max(a, b)
                parent[high] = low
                summit[low] = max(summit[a], summit[b])
    _number(basin, parent, used)
    return basin.reshape(mask.shape)


@kernel
def _number(basin: NDArray[np.int32], parent: NDArray[np.int64], used: int) -> None:
    """Number basins in the order of their first pixel."""
    number = np.zeros(used + 1, np.int32)
    count = 0
    for at in range(basin.size):
        if basin[at]:
            root = root_of(parent, basin[at])
            if number[root] == 0:
                count += 1
                number[root] = count
            basin[at] = number[root]


@kernel
def edge_distance(mask: NDArray[np.uint8], tall: float, wide: float) -> NDArray[np.float64]:
    """Return the distance of each pixel's centre to the nearest one outside, in metres.

    Exact Euclidean distance by lower envelopes of parabolas, columns first and then rows
    (Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions", 2012).

    Args:
        mask: (y, x), framed: 1 where the area is.
        tall: Metres a pixel is high.
        wide: Metres a pixel is wide.
    """
    height, width = mask.shape
    square = np.empty((height, width))
    for x in range(width):
        run = 0.0
        for y in range(height):
            run = run + tall if mask[y, x] else 0.0
            square[y, x] = run
        run = 0.0
        for y in range(height - 1, -1, -1):
            run = run + tall if mask[y, x] else 0.0
            square[y, x] = min(square[y, x], run) ** 2
    place = np.empty(width, np.int64)
    border = np.empty(width + 1)
    line = np.empty(width)
    for y in range(height):
        used = 0
        place[0] = 0
        border[0], border[1] = -np.inf, np.inf
        for x in range(1, width):
            cut = _meeting(square[y], place[used], x, wide)
            while cut <= border[used]:
                used -= 1
                cut = _meeting(square[y], place[used], x, wide)
            used += 1
            place[used] = x
            border[used], border[used + 1] = cut, np.inf
        used = 0
        for x in range(width):
            while border[used + 1] < x:
                used += 1
            line[x] = math.sqrt(((x - place[used]) * wide) ** 2 + square[y, place[used]])
        for x in range(width):
            square[y, x] = line[x]
    return square


@kernel
def _meeting(square: NDArray[np.float64], before: int, after: int, wide: float) -> float:
    """Return where two parabolas of a row cut one another, in pixels."""
    rise = square[after] - square[before]
    run = (after * after - before * before) * wide * wide
    return float((rise + run) / (2 * wide * wide * (after - before)))
