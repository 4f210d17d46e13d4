"""The warp: within one number of an exact GDAL warp, and the same however it is cut."""

from contextlib import closing

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.warp import reproject
from tests.engine.imagery import INN_VALLEY, UTM_33, write_tiff
from tests.engine.tolerances import EDGES_AND_TIES, WARPED_NUMBERS

from landloom.raster.grid import Window, tiles
from landloom.raster.mosaic.composite import composite_window
from landloom.raster.mosaic.median import median_network
from landloom.raster.mosaic.read import RasterReader
from landloom.raster.mosaic.resample import NEAREST
from landloom.raster.mosaic.sources import METHODS, Piece
from landloom.raster.mosaic.tables import paired
from landloom.raster.mosaic.warp import (
    OutputGrid,
    aligned_shift,
    coordinate_map,
    place_row,
    source_map,
)
from landloom.raster.stac.scene import Asset
from landloom.wire.enums import ResamplingMethod as Method

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


def resampled(path, crs, window, method=Method.BILINEAR, nodata=None, pixel=None):
    """Resample a file to a window in global pixels by what mosaics use: float32, NaN for none."""
    grid = OutputGrid(crs, pixel or TARGETS[crs][0])
    height, width = window.shape_yx

    def failed(*details):
        raise AssertionError(details)

    with closing(RasterReader()) as reader:
        piece = Piece(reader, grid, window, method)
        asked = piece.ask([(0, Asset("a", str(path), nodata, 0.0))], failed)
        stack = piece.receive(
            asked, (window.y0, window.x0), failed, lambda size: np.zeros(size, np.uint8)
        )
    bits = np.full((1, height, width), 1, np.uint8)
    out = np.empty((1, height, width), np.float32)
    composite_window(
        paired(stack.pixels, width), stack.tables, (0, 0, height, width),
        METHODS.get(method, NEAREST), False, False, bits, bits, np.ones((height, width), bool),
        median_network(len(stack.tables.sources)), stack.ends, np.float32(np.nan), out,
    )  # fmt: skip
    return out[0]


def by_gdal(path, crs, resampling, nodata, scale=(1, 1), pixel=None, window=None):
    window, pixel = window or global_window(crs)[1], pixel or TARGETS[crs][0]
    place = Affine(pixel, 0, window.x0 * pixel, 0, -pixel, -window.y0 * pixel)
    # GDAL smooths where it thinks that pixels shrink; the turned grid of another zone makes it err.
    with rasterio.open(path) as file:
        out, _ = reproject(
            rasterio.band(file, 1), np.zeros(window.shape_yx, file.dtypes[0]), dst_crs=crs,
            dst_transform=place, resampling=resampling, tolerance=0,
            src_nodata=nodata, dst_nodata=nodata, XSCALE=scale[0], YSCALE=scale[1],
        )  # fmt: skip
    return out.astype(np.float32)


@pytest.mark.parametrize("crs", TARGETS)
@pytest.mark.parametrize("method", [Method.BILINEAR, Method.CUBIC])
def test_interpolation_is_within_one_number_of_gdal(crs, method):
    path = INN_VALLEY / "2021-06-17" / "B08.tif"
    _, window = global_window(crs)
    ours = resampled(path, crs, window, method)
    theirs = by_gdal(path, crs, Resampling[method.value], 0)
    theirs[theirs == 0] = np.nan
    assert np.isfinite(ours).mean() > 0.5
    assert (np.isnan(ours) != np.isnan(theirs)).mean() < EDGES_AND_TIES
    assert np.nanmax(np.abs(ours - theirs)) <= WARPED_NUMBERS


@pytest.mark.parametrize("crs", TARGETS)
@pytest.mark.parametrize("method", [Method.BILINEAR, Method.CUBIC])
def test_weights_of_holes_go_to_their_neighbours_as_in_gdal(tmp_path, crs, method):
    rng = np.random.default_rng(3)
    pixels = rng.integers(1, 5000, (380, 580)).astype(np.uint16)
    pixels[rng.random(pixels.shape) < 0.2] = 0
    path = write_tiff(tmp_path / "a.tif", pixels)
    _, window = global_window(crs)
    ours = resampled(path, crs, window, method)
    theirs = by_gdal(path, crs, Resampling[method.value], 0)
    both = np.isfinite(ours) & (theirs != 0)
    assert (np.isfinite(ours) != (theirs != 0)).mean() < 2 * EDGES_AND_TIES
    assert (np.abs(ours - theirs)[both] <= WARPED_NUMBERS).mean() > 1 - EDGES_AND_TIES


@pytest.mark.parametrize("crs", TARGETS)
def test_nearest_differs_from_gdal_only_on_ties(tmp_path, crs):
    classes = np.random.default_rng(0).integers(1, 12, (380, 580)).astype(np.uint8)
    path = write_tiff(tmp_path / "a.tif", classes)
    _, window = global_window(crs)
    ours = np.nan_to_num(resampled(path, crs, window, Method.NEAREST))
    theirs = by_gdal(path, crs, Resampling.nearest, 0)
    assert (ours != theirs).mean() < EDGES_AND_TIES


@pytest.mark.parametrize("kind", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("method", [Method.NEAREST, Method.BILINEAR, Method.CUBIC])
def test_every_kind_of_number(tmp_path, kind, method):
    rng = np.random.default_rng(5)
    low, high = (1, 256) if kind == "uint8" else (-300, 5000)
    pixels = rng.integers(low, high, (380, 580)).astype(kind)
    path = write_tiff(tmp_path / "a.tif", pixels, nodata=None, predictor=1)
    _, window = global_window("EPSG:3857")
    ours = resampled(path, "EPSG:3857", window, method)
    theirs = by_gdal(path, "EPSG:3857", Resampling[method.value], None)
    both = np.isfinite(ours)
    assert both.mean() > 0.5
    assert (np.abs(ours - theirs)[both] <= WARPED_NUMBERS).mean() > 1 - EDGES_AND_TIES


# What GDAL does, pinned to kernels as wide as the source's own pixels are in the output.
OTHERS = sorted(set(Method) - {Method.NEAREST, Method.BILINEAR, Method.CUBIC})


@pytest.mark.parametrize("method", OTHERS)
def test_what_gdal_does_alone_does_not_depend_on_cutting(method):
    path = INN_VALLEY / "2021-06-17" / "B04.tif"
    _, window = global_window("EPSG:3857")
    window = Window(window.y0, window.x0, window.y0 + 90, window.x0 + 120)
    whole = resampled(path, "EPSG:3857", window, method)
    assert np.isfinite(whole).mean() > 0.9
    for tile in tiles(window.shape_yx, 50):
        part = resampled(path, "EPSG:3857", tile.window.shifted(window.y0, window.x0), method)
        np.testing.assert_array_equal(part, whole[tile.window.slices()])


@pytest.mark.parametrize("method", [Method.BILINEAR, Method.CUBIC, *OTHERS])
def test_finer_sources_are_averaged_as_gdal_does(method):
    path = INN_VALLEY / "2021-06-17" / "B08.tif"
    window = Window(-178400, 12000, -178300, 12090)
    ours = resampled(path, UTM_33, window, method, pixel=30.0)
    theirs = by_gdal(
        path, UTM_33, Resampling[method.value], 0, (1 / 3, 1 / 3), pixel=30.0, window=window
    )
    both = np.isfinite(ours) & (theirs != 0)
    assert both.mean() > 0.5
    assert np.abs(ours - theirs)[both].max() <= WARPED_NUMBERS


@pytest.mark.parametrize("crs", TARGETS)
@pytest.mark.parametrize("size", [7, 64, 111])
def test_cutting_changes_nothing(crs, size):
    path = INN_VALLEY / "2021-06-17" / "B04.tif"
    _, window = global_window(crs)
    for method in (Method.NEAREST, Method.BILINEAR, Method.CUBIC):
        whole = resampled(path, crs, window, method)
        for tile in list(tiles((SIZE, SIZE), size))[:: 1 + 900 // size**2 * 50]:
            part = resampled(path, crs, tile.window.shifted(window.y0, window.x0), method)
            np.testing.assert_array_equal(part, whole[tile.window.slices()])


@pytest.mark.parametrize("crs", TARGETS)
def test_interpolated_coordinates_are_exact_to_a_thousandth_of_a_pixel(crs):
    grid, window = global_window(crs)
    nodes = source_map(coordinate_map(grid, UTM_33, window), PLACE)
    offset = (window.y0 - nodes.origin[0], window.x0 - nodes.origin[1])
    project = Transformer.from_crs(crs, UTM_33, always_xy=True).transform
    columns, rows = np.empty(SIZE), np.empty(SIZE)
    for y in (0, 17, 48, SIZE - 1):
        place_row(nodes.columns, nodes.rows, (offset[0] + y, offset[1]), columns, rows)
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
