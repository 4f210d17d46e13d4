"""From things to outlines on the pixel lattice: a shape each, however many parts it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from landloom.raster.geometries.merge import Thing
from landloom.raster.grid import Window, tiles
from landloom.raster.predict.pixels import hull
from landloom.raster.vectorize.label import label_components
from landloom.raster.vectorize.seams import SeamMerger
from landloom.raster.vectorize.shapes import Shapes, assemble, concatenated, starts_of
from landloom.raster.vectorize.tile import Seams, polygonize_tile
from landloom.raster.vectorize.trace import trace_rings

TILE = 4096
"""Pixels a side of what is drawn at a time: a thing may be as large as the AOI."""

SHEET = 1024
"""Pixels a side of what things are drawn on together."""


def box_shapes(things: Sequence[Thing]) -> Shapes:
    """Return the box of each thing as a shape, in array pixels."""
    sides = np.array([(b.y0, b.x0, b.y1, b.x1) for b in (thing.box for thing in things)], np.int32)
    corners = sides[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
    each = np.arange(len(things) + 1)
    return Shapes(corners, 4 * each, each, each)


def outlines(things: Sequence[Thing], sheet: int = SHEET) -> Shapes:
    """Return the outline of each thing's mask as a shape, in array pixels; see `outline`.

    Tracing costs a third of a millisecond however small a thing is, so things are drawn side by
    side on sheets, and each sheet is traced once.

    Args:
        things: What to outline.
        sheet: Pixels a side of a sheet; larger things are traced alone. No result depends on it.
    """
    bounds = [hull(each.window for each in thing.sightings) for thing in things]
    traced: list[Shapes] = []
    order: list[int] = []
    for numbers, places in _sheets(bounds, sheet):
        order += numbers
        if places:
            traced.append(_traced([things[number] for number in numbers], places))
        else:
            traced.append(outline(things[numbers[0]]))
    return concatenated(traced).taken(np.argsort(order))


def outline(thing: Thing, tile_size: int = TILE) -> Shapes:
    """Return the outline of one thing's mask, however large, as a shape, in array pixels.

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


def _sheets(
    bounds: Sequence[Window], sheet: int
) -> Iterator[tuple[list[int], list[tuple[Window, Window]]]]:
    """Deal things out to sheets, in shelves from the top, a pixel apart.

    Yields:
        The numbers of the things of one sheet, and for each its ground and its place; no places
        for a thing that is larger than a sheet.
    """
    numbers: list[int] = []
    places: list[tuple[Window, Window]] = []
    y = x = shelf = 0
    for number, ground in enumerate(bounds):
        height, width = ground.shape_yx
        if max(height, width) > sheet:
            yield [number], []
            continue
        if x + width > sheet:
            y, x, shelf = y + shelf + 1, 0, 0
        if y + height > sheet:
            yield numbers, places
            numbers, places, y, x, shelf = [], [], 0, 0, 0
        numbers.append(number)
        places.append((ground, Window(y, x, y + height, x + width)))
        x, shelf = x + width + 1, max(shelf, height)
    if numbers:
        yield numbers, places


def _traced(things: Sequence[Thing], places: Sequence[tuple[Window, Window]]) -> Shapes:
    """Draw things on a sheet and trace it; a shape for each, in their order."""
    drawn = hull(place for _, place in places)
    sheet = np.zeros(drawn.shape_yx, np.int32)
    shifts = np.empty((len(things), 2), np.int32)
    for number, (thing, (ground, place)) in enumerate(zip(things, places, strict=True)):
        dy, dx = place.y0 - ground.y0, place.x0 - ground.x0
        shifts[number] = dy, dx
        for each in thing.sightings:
            sheet[each.window.shifted(dy, dx).slices()][each.mask] = number + 1
    labels, count = label_components(sheet)
    thing_of = np.zeros(count + 1, np.int64)
    thing_of[labels[1:-1, 1:-1]] = sheet - 1
    shapes = assemble(trace_rings(labels), thing_of)
    shapes.vertices[:] -= np.repeat(shifts, np.diff(shapes.vertex_starts()), axis=0)
    return shapes


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
    return Shapes(
        vertices, starts_of(lengths), starts_of(rings), np.array([0, len(parts)], np.int64)
    )
