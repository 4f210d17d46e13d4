"""From a thing to its outline on the pixel lattice: one shape, however many parts it has."""

from __future__ import annotations

import numpy as np

from landloom.raster.geometries.merge import Thing
from landloom.raster.grid import Window, tiles
from landloom.raster.predict.pixels import hull
from landloom.raster.vectorize.seams import SeamMerger
from landloom.raster.vectorize.shapes import Shapes, concatenated
from landloom.raster.vectorize.tile import Seams, polygonize_tile

TILE = 4096
"""Pixels a side of what is drawn at a time: a thing may be as large as the AOI."""


def box_shape(thing: Thing) -> Shapes:
    """Return a thing's box as a shape, in array pixels."""
    box = thing.box
    corners = [(box.y0, box.x0), (box.y1, box.x0), (box.y1, box.x1), (box.y0, box.x1)]
    one = np.array([0, 1])
    return Shapes(np.array(corners, np.int32), np.array([0, 4]), one, one)


def outline(thing: Thing, tile_size: int = TILE) -> Shapes:
    """Return the outline of a thing's mask as one shape, in array pixels.

    Parts are 4-connected areas with their holes, in the order of their first pixel, as if the mask
    had been drawn at once.

    Args:
        thing: The union of the masks of its sightings is drawn.
        tile_size: Pixels a side that are drawn at a time; the result does not depend on it.
    """
    bound = hull(each.window for each in thing.sightings)
    height, width = bound.shape_yx
    if max(height, width) <= tile_size:
        whole = polygonize_tile(_drawn(thing, bound), origin_yx=(bound.y0, bound.x0)).closed
        return whole if len(whole) == 1 else _one_shape(whole)
    merger = SeamMerger()
    found: list[Shapes] = []
    for tile in tiles((height, width), tile_size):
        window = tile.window
        place = window.shifted(bound.y0, bound.x0)
        seams = Seams(window.y0 > 0, window.y1 < height, window.x0 > 0, window.x1 < width)
        polygons = polygonize_tile(
            _drawn(thing, place), origin_yx=(place.y0, place.x0), seams=seams
        )
        found.append(polygons.closed)
        merger.add(type(tile)(tile.iy, tile.ix, place), polygons.open)
    found.append(merger.drain())
    return _one_shape(concatenated([each for each in found if len(each)]))


def _drawn(thing: Thing, place: Window) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    pixels = np.zeros(place.shape_yx, np.uint8)
    for each in thing.sightings:
        common = place.clipped(each.window)
        if not common.empty:
            pixels[common.shifted(-place.y0, -place.x0).slices()] |= each.mask_in(common).view(
                np.uint8
            )
    return pixels


def _one_shape(parts: Shapes) -> Shapes:
    """Return shapes of one part each as the parts of one shape, sorted by their first vertex."""
    first = parts.first_vertices()
    order = np.lexsort((first[:, 1], first[:, 0]))
    rings = np.diff(parts.part_starts)[order]
    ring_order = np.concatenate(
        [np.arange(parts.part_starts[part], parts.part_starts[part + 1]) for part in order]
    )
    lengths = np.diff(parts.ring_starts)[ring_order]
    vertices = np.concatenate(
        [
            parts.vertices[parts.ring_starts[ring] : parts.ring_starts[ring + 1]]
            for ring in ring_order
        ]
    )
    return Shapes(vertices, _starts(lengths), _starts(rings), np.array([0, len(parts)], np.int64))


def _starts(
    lengths: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
