"""The warp: within one number of an exact GDAL warp, and the same however it is cut."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.warp import reproject
from tests.engine.imagery import INN_VALLEY, UTM_33, write_tiff

from landloom.raster.grid import Window, tiles
from landloom.raster.mosaic.warp import (
    OutputGrid,
    _place_row,
    aligned_shift,
    coordinate_map,
    source_map,
    warp_bilinear,
    warp_nearest,
)

TARGETS = {
    "EPSG:3857": (10.0, 1459000.0, 6158000.0),
    "EPSG:4326": (8.98e-5, 13.11, 48.305),
    "EPSG:32632": (10.0, 804500.0, 5358500.0),
}
SIZE = 300
PLACE = Affine(10, 0, 359130, 0, -10, 5352340)


def global_window(crs):
    pixel, x, y = TARGETS[crs]
    gy, gx = round(-y / pixel), round(x / pixel)
    return OutputGrid(crs, pixel), Window(gy, gx, gy + SIZE, gx + SIZE)


def warp(path, crs, window, nodata=float("nan")):
    """Warp a whole file to a window in global pixels: (bilinear, nearest)."""
    grid, _ = global_window(crs)
    with rasterio.open(path) as file:
        source, transform = file.read(1), file.transform
    nodes = source_map(coordinate_map(grid, UTM_33, window), transform)
    offset = (window.y0 - nodes.origin[0], window.x0 - nodes.origin[1])
    part = nodes.needed(source.shape, 1)
    smooth = np.empty(window.shape_yx, np.float32)
    classes = np.empty(window.shape_yx, np.uint8)
    keep = np.ones(window.shape_yx, np.uint8)
    pixels = np.ascontiguousarray(source[part.slices()])
    common = ((part.y0, part.x0), source.shape, nodes.columns, nodes.rows, offset)
    warp_bilinear(pixels, *common, keep, nodata, 0.0, True, smooth)
    warp_nearest(pixels, *common, np.arange(256, dtype=np.uint8), classes)
    return smooth, classes


def by_gdal(path, crs, resampling, nodata):
    grid, window = global_window(crs)
    pixel = grid.resolution
    place = Affine(pixel, 0, window.x0 * pixel, 0, -pixel, -window.y0 * pixel)
    # GDAL smooths where it thinks that pixels shrink; the turned grid of another zone makes it err.
    with rasterio.open(path) as file:
        out, _ = reproject(
            rasterio.band(file, 1), np.zeros(window.shape_yx, file.dtypes[0]), dst_crs=crs,
            dst_transform=place, resampling=resampling, tolerance=0,
            src_nodata=nodata, dst_nodata=nodata, XSCALE=1, YSCALE=1,
        )  # fmt: skip
    return out.astype(np.float32)


@pytest.mark.parametrize("crs", TARGETS)
def test_bilinear_is_within_one_number_of_gdal(crs):
    path = INN_VALLEY / "2021-06-17" / "B08.tif"
    _, window = global_window(crs)
    ours, _ = warp(path, crs, window, nodata=0.0)
    theirs = by_gdal(path, crs, Resampling.bilinear, 0)
    theirs[theirs == 0] = np.nan
    assert np.isfinite(ours).mean() > 0.5
    assert (np.isnan(ours) != np.isnan(theirs)).mean() < 1e-3
    assert np.nanmax(np.abs(ours - theirs)) <= 1


@pytest.mark.parametrize("crs", TARGETS)
def test_weights_of_holes_go_to_their_neighbours_as_in_gdal(tmp_path, crs):
    rng = np.random.default_rng(3)
    pixels = rng.integers(1, 5000, (380, 580)).astype(np.uint16)
    pixels[rng.random(pixels.shape) < 0.2] = 0
    path = write_tiff(tmp_path / "a.tif", pixels)
    _, window = global_window(crs)
    ours, _ = warp(path, crs, window, nodata=0.0)
    theirs = by_gdal(path, crs, Resampling.bilinear, 0)
    both = np.isfinite(ours) & (theirs != 0)
    assert (np.isfinite(ours) != (theirs != 0)).mean() < 2e-3
    assert (np.abs(ours - theirs)[both] <= 1).mean() > 0.9999


@pytest.mark.parametrize("crs", TARGETS)
def test_nearest_differs_from_gdal_only_on_ties(tmp_path, crs):
    classes = np.random.default_rng(0).integers(1, 12, (380, 580)).astype(np.uint8)
    path = write_tiff(tmp_path / "a.tif", classes)
    _, window = global_window(crs)
    _, ours = warp(path, crs, window)
    theirs = by_gdal(path, crs, Resampling.nearest, 0)
    assert (ours != theirs).mean() < 1e-3


@pytest.mark.parametrize("crs", TARGETS)
@pytest.mark.parametrize("size", [7, 64, 111])
def test_cutting_changes_nothing(crs, size):
    path = INN_VALLEY / "2021-06-17" / "B04.tif"
    _, window = global_window(crs)
    whole = warp(path, crs, window)
    for tile in list(tiles((SIZE, SIZE), size))[:: 1 + 900 // size**2 * 50]:
        part = warp(path, crs, tile.window.shifted(window.y0, window.x0))
        for cut, one in zip(part, whole, strict=True):
            np.testing.assert_array_equal(cut, one[tile.window.slices()])


@pytest.mark.parametrize("crs", TARGETS)
def test_interpolated_coordinates_are_exact_to_a_thousandth_of_a_pixel(crs):
    grid, window = global_window(crs)
    nodes = source_map(coordinate_map(grid, UTM_33, window), PLACE)
    offset = (window.y0 - nodes.origin[0], window.x0 - nodes.origin[1])
    project = Transformer.from_crs(crs, UTM_33, always_xy=True).transform
    columns, rows = np.empty(SIZE), np.empty(SIZE)
    for y in (0, 17, 48, SIZE - 1):
        _place_row(nodes.columns, nodes.rows, offset, y, columns, rows)
        x = (window.x0 + np.arange(SIZE) + 0.5) * grid.resolution
        exact = project(x, np.full(SIZE, -(window.y0 + y + 0.5) * grid.resolution))
        worst = max(
            np.abs(columns - (exact[0] - PLACE.c) / PLACE.a).max(),
            np.abs(rows - (exact[1] - PLACE.f) / PLACE.e).max(),
        )
        assert worst < 1e-3


class TestAlignedShift:
    GRID = OutputGrid(UTM_33, 10.0)

    def test_the_same_lattice_is_recognised(self):
        transform = Affine(10, 0, 359130, 0, -10, 5352340)
        assert aligned_shift(self.GRID, UTM_33, transform) == (-535234, 35913)

    @pytest.mark.parametrize(
        ("crs", "transform"),
        [
            (UTM_33, Affine(10, 0, 359135, 0, -10, 5352340)),
            (UTM_33, Affine(20, 0, 359120, 0, -20, 5352340)),
            ("EPSG:32632", Affine(10, 0, 359130, 0, -10, 5352340)),
        ],
    )
    def test_any_other_grid_is_warped(self, crs, transform):
        assert aligned_shift(self.GRID, crs, transform) is None
