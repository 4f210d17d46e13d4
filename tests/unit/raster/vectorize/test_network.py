"""An area as large as the AOI: a network of boundaries with a hole for every field."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from tests.engine.polygons import geometries, rasterio_shapes

from landloom.raster.grid import tiles
from landloom.raster.vectorize.seams import SeamMerger
from landloom.raster.vectorize.shapes import concatenated
from landloom.raster.vectorize.tile import Seams, polygonize_tile

PITCH = 8
"""Pixels from one field to the next."""


def network(side: int) -> NDArray[np.uint8]:
    """Draw boundaries round square fields, with a bay here and there."""
    values = np.ones((side, side), np.uint8)
    for dy in range(1, PITCH - 1):
        values[dy::PITCH, 2::PITCH] = 0
        values[dy::PITCH, 3::PITCH] = 0
        values[dy::PITCH, 4::PITCH] = dy == 3
    return values


def merged(values: NDArray[np.uint8], size: int) -> tuple[SeamMerger, list[int]]:
    """Trace and merge tile by tile; return how many lines were open after each."""
    merger, lines = SeamMerger(), []
    side = len(values)
    for tile in tiles(values.shape, size):
        window = tile.window
        found = polygonize_tile(
            np.ascontiguousarray(values[window.slices()]),
            origin_yx=(window.y0, window.x0),
            seams=Seams(window.y0 > 0, window.y1 < side, window.x0 > 0, window.x1 < side),
        )
        merger.add(tile, found.open)
        lines.append(sum(len(each.owner) for each in merger._chains))
    return merger, lines


class TestNetwork:
    def test_is_one_polygon_with_every_hole(self) -> None:
        values = network(120)
        merger, _ = merged(values, 33)
        (found,) = geometries(concatenated([merger.drain()]))
        (wanted,) = rasterio_shapes(values)
        assert found.is_valid
        assert shapely.normalize(found).equals_exact(shapely.normalize(wanted))
        assert len(found.interiors) == 15 * 15

    @pytest.mark.parametrize("side", [256, 512])
    def test_keeps_ends_in_memory_where_seams_cross_it_and_corners_on_disk(self, side: int) -> None:
        size = 64
        merger, lines = merged(network(side), size)
        seams = 2 * (side // size - 1) * side
        # A seam crosses or accompanies at most one boundary a pixel, seen from either side.
        assert lines[-1] <= 2 * seams
        kept = sum(len(each.owner) for each in merger._rings)
        assert kept <= (side // PITCH) ** 2
        corners = merger._corners_on_disk.corners
        assert corners > 4 * kept
        assert sum(each.ends.nbytes for each in merger._chains + merger._rings) < 8 * corners
