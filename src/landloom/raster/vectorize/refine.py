"""Close holes, and leave out what is too small or too large."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landloom.raster.vectorize.areas import ring_areas
from landloom.raster.vectorize.batch import Batch
from landloom.raster.vectorize.config import VectorizeConfig
from landloom.raster.vectorize.project import Projection
from landloom.raster.vectorize.shapes import Shapes, starts_of
from landloom.raster.vectorize.trace import take_rings


def refined(batch: Batch, config: VectorizeConfig, degrees: Projection) -> Batch:
    """Return the rows that stay, with the holes that stay.

    Args:
        batch: Shapes of pixels.
        config: Which.
        degrees: The way to longitude and latitude.
    """
    limited = config.min_area_m2 > 0 or np.isfinite(config.max_area_m2)
    if not len(batch) or not (limited or config.close_holes_m2 > 0):
        return batch
    shapes = batch.shapes
    outlines, corners = degrees.outlines(shapes)
    areas = ring_areas(outlines.ring_starts, corners)
    is_hole = np.ones(len(areas), bool)
    is_hole[shapes.part_starts[:-1]] = False
    stays = ~is_hole | (areas > config.close_holes_m2)
    signed = np.where(is_hole, -areas, areas) * stays
    size = np.add.reduceat(signed, shapes.part_starts[shapes.shape_starts[:-1]])
    fits = (size >= config.min_area_m2) & (size <= config.max_area_m2)
    closed = Batch(_with_rings(shapes, stays), batch.places, batch.columns)
    return closed if fits.all() else closed.taken(np.flatnonzero(fits))


def _with_rings(shapes: Shapes, stays: NDArray[np.bool_]) -> Shapes:
    if stays.all():
        return shapes
    vertices, ring_starts = take_rings(shapes.vertices, shapes.ring_starts, np.flatnonzero(stays))
    per_part = np.add.reduceat(stays.astype(np.int64), shapes.part_starts[:-1])
    return Shapes(vertices, ring_starts, starts_of(per_part), shapes.shape_starts)
