"""Masks: bits of many sources, gathered together, against numpy one by one."""

import numpy as np
import pytest

from landloom.raster.grid import Window
from landloom.raster.mosaic.lattice import LATTICE_PX, Lattice
from landloom.raster.mosaic.masks import choose_classes, mask_window
from landloom.raster.mosaic.placement import SourceMap
from landloom.raster.mosaic.resample import TIE_PX
from landloom.raster.mosaic.tables import SOURCE_COLUMNS, VALUE_COLUMNS, Tables

HEIGHT, WIDTH = 70, 90
SIDE = 40
"""Pixels a side of each source."""

VALUES = np.zeros((1, VALUE_COLUMNS))
"""Masks look at none."""


def plain(grids):
    """Return `cells` and `fine` of lattices without finer nodes."""
    return np.zeros((grids, 0, 0, 2), np.int64), np.zeros((2, 0))


def nodes(scale, shift):
    """Return source coordinates of the lattice nodes: `scale` source pixels per output pixel."""
    return np.arange(-(-WIDTH // LATTICE_PX) + 1) * (LATTICE_PX * scale) + shift


def expected(pixels, scale, shift):
    """Return where the source pixel that holds each centre is not 0; False outside."""
    y = np.floor((np.arange(HEIGHT) + 0.5) * scale + shift[0]).astype(int)
    x = np.floor((np.arange(WIDTH) + 0.5) * scale + shift[1]).astype(int)
    inside = (y >= 0)[:, None] & (y < SIDE)[:, None] & (x >= 0) & (x < SIDE)
    return inside & (pixels[np.clip(y, 0, SIDE - 1)[:, None], np.clip(x, 0, SIDE - 1)] != 0)


@pytest.mark.parametrize("count", [1, 8, 11])
@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_bits_are_those_of_each_source_alone(count, kind):
    rng = np.random.default_rng(count)
    # Twice as large pixels, much smaller ones that reach beyond, and one wholly elsewhere.
    scales, shifts = (0.5, 1.3, 0.5), ((0.0, 0.0), (-7.0, 3.0), (500.0, 500.0))
    images = rng.integers(0, 2, (count, SIDE, SIDE)).astype(kind)
    images[:, 0] = 0
    which = np.arange(count) % 3
    sources = np.array([[i * SIDE * SIDE, grid, i, 0, 0] for i, grid in enumerate(which)], np.int64)
    grids = np.array([[0, 0, SIDE, SIDE, SIDE, SIDE, 0]] * 3, np.int64)
    columns = np.stack(
        [np.tile(nodes(s, d[1]), (4, 1)) for s, d in zip(scales, shifts, strict=True)]
    )
    rows = np.stack(
        [np.tile(nodes(s, d[0])[:4, None], (1, 4)) for s, d in zip(scales, shifts, strict=True)]
    )
    keep = np.zeros((-(-count // 8), HEIGHT, WIDTH), np.uint8)
    kept = np.zeros(count, np.bool_)
    flat = np.append(images.ravel(), np.zeros(SIDE, kind))
    tables = Tables(sources, VALUES, grids, columns, rows, (0, 0), *plain(3))
    mask_window(flat, tables, (0, 0, HEIGHT, WIDTH), keep, kept)
    for i, grid in enumerate(which):
        found = keep[i // 8] >> (i % 8) & 1
        wanted = expected(images[i], scales[grid], shifts[grid])
        np.testing.assert_array_equal(found, wanted)
        assert kept[i] == wanted.any()


@pytest.mark.parametrize("tilt", [0.0, 0.03])
@pytest.mark.parametrize("down", [0.5, -0.5, 0.4])
def test_rows_of_a_source_may_run_upwards_or_aslant(down, tilt):
    image = np.random.default_rng(3).integers(0, 2, (SIDE, SIDE)).astype(np.uint8)
    first = 0.0 if down > 0 else SIDE
    y, x = np.mgrid[0:4, 0:4] * float(LATTICE_PX)
    at = y * down + x * tilt + first, x * 0.5 - y * tilt - 2.3
    tables = Tables(
        np.zeros((1, SOURCE_COLUMNS), np.int64),
        VALUES,
        np.array([[0, 0, SIDE, SIDE, SIDE, SIDE, 0]], np.int64),
        at[1][None],
        at[0][None],
        (0, 0),
        *plain(1),
    )
    keep, kept = np.zeros((1, HEIGHT, WIDTH), np.uint8), np.zeros(1, np.bool_)
    mask_window(image.ravel(), tables, (0, 0, HEIGHT, WIDTH), keep, kept)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    row = np.floor(y * down + x * tilt + first + TIE_PX).astype(int)
    column = np.floor(x * 0.5 - y * tilt - 2.3 + TIE_PX).astype(int)
    inside = (row >= 0) & (row < SIDE) & (column >= 0) & (column < SIDE)
    clipped = np.clip(row, 0, SIDE - 1), np.clip(column, 0, SIDE - 1)
    np.testing.assert_array_equal(keep[0] == 1, inside & (image[clipped] != 0))


def test_sources_on_the_outputs_lattice_keep_a_place_of_their_own():
    images = np.ones((2, SIDE, SIDE), np.uint8)
    sources = np.array([[0, 0, 0, 5, 7], [SIDE * SIDE, 0, 1, -3, 60]], np.int64)
    grids = np.array([[0, 0, SIDE, SIDE, SIDE, SIDE, 1]], np.int64)
    keep, kept = np.zeros((1, HEIGHT, WIDTH), np.uint8), np.zeros(2, np.bool_)
    none = np.zeros((1, 1, 1))
    tables = Tables(sources, VALUES, grids, none, none, (0, 0), *plain(1))
    mask_window(images.ravel(), tables, (0, 0, HEIGHT, WIDTH), keep, kept)
    wanted = np.zeros((HEIGHT, WIDTH), np.uint8)
    wanted[5 : 5 + SIDE, 7 : 7 + SIDE] |= 1
    wanted[: SIDE - 3, 60:] |= 2
    np.testing.assert_array_equal(keep[0], wanted)
    assert kept.all()


def test_classes_beyond_the_table_do_not_stay():
    classes = np.array([0, 1, 2, 3, 200], np.uint8)
    choose_classes(classes, np.array([0, 1, 1], np.uint8))
    assert classes.tolist() == [0, 1, 1, 0, 0]


@pytest.mark.parametrize("window", [(0, 0, 64, 64), (5, 9, 70, 33), (40, 40, 41, 41)])
def test_no_more_is_read_than_a_window_looks_at(window):
    where = Window(*window)
    top, left = where.y0 // LATTICE_PX * LATTICE_PX, where.x0 // LATTICE_PX * LATTICE_PX
    y, x = np.mgrid[top : where.y1 + 31 : LATTICE_PX, left : where.x1 + 31 : LATTICE_PX] * 1.0
    lattice = SourceMap(
        Lattice(x / 2 + y / 50, y / 2 - x / 80 + 3, plain(1)[0][0], plain(1)[1]), (top, left)
    )
    found = lattice.needed((1000, 1000), 0, where)
    gy, gx = np.mgrid[where.y0 : where.y1, where.x0 : where.x1] + 0.5
    rows, columns = np.floor(gy / 2 - gx / 80 + 3), np.floor(gx / 2 + gy / 50)
    # All that is looked at, and no more than the window's own outline reaches.
    assert found.y0 <= rows.min() <= found.y0 + 1
    assert found.x0 <= columns.min() <= found.x0 + 1
    assert found.y1 - 2 <= rows.max() < found.y1
    assert found.x1 - 2 <= columns.max() < found.x1
