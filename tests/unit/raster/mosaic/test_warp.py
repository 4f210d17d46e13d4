"""The warp: within one number of an exact GDAL warp, and the same however it is cut."""

import math
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.warp import reproject
from scipy.ndimage import map_coordinates
from tests.engine.imagery import INN_VALLEY, UTM_33, write_tiff
from tests.engine.tolerances import EDGES_AND_TIES, WARPED_NUMBERS

from landloom.raster.grid import Window, tiles
from landloom.raster.mosaic.composite import composite_window
from landloom.raster.mosaic.lattice import place_row
from landloom.raster.mosaic.median import median_network
from landloom.raster.mosaic.placement import source_map
from landloom.raster.mosaic.read import RasterReader
from landloom.raster.mosaic.resample import NEAREST
from landloom.raster.mosaic.sources import METHODS, Piece
from landloom.raster.mosaic.tables import paired
from landloom.raster.mosaic.warp import OutputGrid, aligned_shift, coordinate_map, turn
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
    nodes = source_map(coordinate_map(grid, UTM_33, window), PLACE, (380, 580))
    assert not len(nodes.lattice.cells)
    offset = (window.y0 - nodes.origin[0], window.x0 - nodes.origin[1])
    project = Transformer.from_crs(crs, UTM_33, always_xy=True).transform
    columns, rows = np.empty(SIZE), np.empty(SIZE)
    for y in (0, 17, 48, SIZE - 1):
        place_row(nodes.lattice, (offset[0] + y, offset[1]), columns, rows)
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


def exact(path, crs, window, pixel):
    """Return (columns, rows) of each pixel of a window in a file, by pyproj, pixel by pixel."""
    with rasterio.open(path) as file:
        source, transform, width = file.crs.to_wkt(), file.transform, file.width
    x, y = np.meshgrid(
        (np.arange(window.x0, window.x1) + 0.5) * pixel,
        -(np.arange(window.y0, window.y1) + 0.5) * pixel,
    )
    found = Transformer.from_crs(crs, source, always_xy=True).transform(x, y)
    columns, rows = (np.array(each) for each in ~transform @ found)
    period = turn(source) / transform.a
    return columns - period * np.round((columns - width / 2) / period), rows


def nearest(pixels, columns, rows):
    """Return the containing pixels, NaN outside."""
    height, width = pixels.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    at = np.where(inside, rows, 0).astype(int), np.where(inside, columns, 0).astype(int)
    return np.where(inside, pixels[at].astype(np.float32), np.nan)


def bilinear(pixels, columns, rows):
    """Return interpolated values as `nearest` does; whatever is not there repeats the edge."""
    values = map_coordinates(
        pixels.astype(np.float64), [rows - 0.5, columns - 0.5], order=1, mode="nearest"
    )
    return np.where(np.isnan(nearest(pixels, columns, rows)), np.nan, np.floor(values + 0.5))


def waves(height, width):
    """Return steep waves: 3000 from pixel to pixel, so that a thousandth of one shows."""
    y, x = np.mgrid[:height, :width]
    return (15000 + 10000 * np.sin(y / 3) * np.cos(x * 2 * np.pi / 24)).astype(np.uint16)


def assert_as_wanted(found, wanted, share=EDGES_AND_TIES):
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    off = np.abs(found - wanted)[~np.isnan(wanted)]
    assert off.size
    assert (off > WARPED_NUMBERS).mean() <= share


def around(crs, pixel, lon, lat, height, width):
    """Return a window around a place."""
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    gy, gx = round(-y / pixel) - height // 2, round(x / pixel) - width // 2
    return Window(gy, gx, gy + height, gx + width)


class TestCoarsePixels:
    """A lattice of 32 px would be off by up to a third of a pixel."""

    @pytest.mark.parametrize("degrees", [0.25, 0.1, 0.01])
    @pytest.mark.parametrize(
        "method", [Method.NEAREST, Method.BILINEAR, Method.CUBIC], ids=lambda each: each.value
    )
    def test_equal_gdal(self, tmp_path, degrees, method):
        options = {"x0": 0.0, "y0": 70.0, "pixel": degrees, "crs": "EPSG:4326"}
        path = write_tiff(tmp_path / "a.tif", waves(300, 300), **options)
        pixel = 111000.0 * degrees
        window = around("EPSG:3857", pixel, 150 * degrees, 70 - 150 * degrees, 150, 200)
        found = resampled(path, "EPSG:3857", window, method, pixel=pixel)
        assert not np.isnan(found).all()
        wanted = by_gdal(
            path, "EPSG:3857", Resampling[method.value], None, pixel=pixel, window=window
        )
        off = np.abs(found - wanted)[~np.isnan(found)]
        if method is Method.NEAREST:
            assert (off > 0).mean() <= EDGES_AND_TIES
        else:
            assert off.max() <= WARPED_NUMBERS

    @settings(max_examples=25, deadline=None)
    @given(
        place=st.tuples(st.floats(-180, 180), st.floats(-80, 80)),
        crs=st.sampled_from(["EPSG:3857", "EPSG:3035", "EPSG:32701", "EPSG:3413", "EPSG:6933"]),
        degrees=st.sampled_from([0.001, 0.05, 0.5]),
        size=st.sampled_from([23, 64]),
    )
    def test_places_do_not_depend_on_cutting(self, place, crs, degrees, size):
        grid, transform = (
            OutputGrid(crs, 111000.0 * degrees),
            Affine(degrees, 0, -180, 0, -degrees, 90),
        )
        shape = round(180 / degrees), round(360 / degrees)
        try:
            window = around(crs, grid.resolution, *place, 90, 110)
        except OverflowError:  # the place has none in the CRS
            window = Window(0, 0, 90, 110)

        def places(part):
            nodes = source_map(coordinate_map(grid, "EPSG:4326", part), transform, shape)
            found = np.empty((2, *part.shape_yx))
            for y in range(part.shape_yx[0]):
                at = part.y0 + y - nodes.origin[0], part.x0 - nodes.origin[1]
                place_row(nodes.lattice, at, found[0, y], found[1, y])
            return found

        whole = places(window)
        for tile in tiles(window.shape_yx, size):
            part = places(tile.window.shifted(window.y0, window.x0))
            np.testing.assert_array_equal(part, whole[(slice(None), *tile.window.slices())])


class TestAroundTheEarth:
    """Longitude begins anew in the middle of these grids."""

    FIJI = "EPSG:32701", 1000.0, (180.0, -17.0), -16.0
    ARCTIC = "EPSG:3413", 500.0, (180.0, 60.0), 62.0
    UPRIGHT = "EPSG:3995", 500.0, (180.0, 60.0), 62.0
    """Here no pixel's centre lies on the meridian itself, where both sides have a value."""

    def write(self, folder, top, parts, crs="EPSG:4326"):
        """Write a raster of 0.02 degrees and 4 of them north to south, or its two ends."""
        pixels = waves(200, 18000)
        per_unit = 1.0 if crs == "EPSG:4326" else math.pi / 180 * 6378137
        pixel = 0.02 * per_unit
        for name, columns in parts.items():
            x0 = -180 * per_unit + pixel * columns.start
            write_tiff(
                folder / f"{name}.tif", pixels[:, columns], x0=x0, y0=top, pixel=pixel, crs=crs,
                blockxsize=256, blockysize=256,
            )  # fmt: skip
        return pixels

    @pytest.mark.parametrize("place", [FIJI, ARCTIC], ids=["utm", "polar"])
    @pytest.mark.parametrize("method", [Method.NEAREST, Method.BILINEAR, Method.CUBIC])
    def test_a_global_raster(self, tmp_path, place, method):
        crs, pixel, centre, top = place
        pixels = self.write(tmp_path, top, {"all": slice(0, 18000)})
        window = around(crs, pixel, *centre, 150, 170)
        found = resampled(tmp_path / "all.tif", crs, window, method, pixel=pixel)
        columns, rows = exact(tmp_path / "all.tif", crs, window, pixel)
        assert (columns < 20).any()
        assert (columns > 17980).any()
        if method is Method.CUBIC:
            theirs = by_gdal(
                tmp_path / "all.tif", crs, Resampling.cubic, None, pixel=pixel, window=window
            )
            assert_as_wanted(
                found, np.where(np.isnan(nearest(pixels, columns, rows)), np.nan, theirs)
            )
            return
        wanted = (nearest if method is Method.NEAREST else bilinear)(pixels, columns, rows)
        assert_as_wanted(found, wanted, 0.0 if method is Method.BILINEAR else EDGES_AND_TIES)
        for tile in tiles(window.shape_yx, 61):
            part = tile.window.shifted(window.y0, window.x0)
            cut = resampled(tmp_path / "all.tif", crs, part, method, pixel=pixel)
            np.testing.assert_array_equal(cut, found[tile.window.slices()])

    @pytest.mark.parametrize("place", [FIJI, UPRIGHT], ids=["utm", "polar"])
    @pytest.mark.parametrize("method", [Method.NEAREST, Method.BILINEAR])
    def test_one_raster_a_side(self, tmp_path, place, method):
        crs, pixel, centre, top = place
        ends = {"east": slice(0, 1000), "west": slice(17000, 18000)}
        pixels = self.write(tmp_path, top, ends)
        window = around(crs, pixel, *centre, 150, 170)
        seen = np.zeros(window.shape_yx, bool)
        for name, columns in ends.items():
            path = tmp_path / f"{name}.tif"
            found = resampled(path, crs, window, method, pixel=pixel)
            of = nearest if method is Method.NEAREST else bilinear
            wanted = of(pixels[:, columns], *exact(path, crs, window, pixel))
            assert_as_wanted(found, wanted)
            seen |= ~np.isnan(found)
        assert seen.all()

    @pytest.mark.parametrize("method", [Method.NEAREST, Method.BILINEAR])
    def test_a_pole(self, tmp_path, method):
        options = {"x0": -180.0, "y0": 90.0, "pixel": 1.0, "crs": "EPSG:4326"}
        path = write_tiff(tmp_path / "a.tif", waves(30, 360), **options)
        window = Window(-70, -60, 70, 80)
        found = resampled(path, "EPSG:3413", window, method, pixel=5000.0)
        of = nearest if method is Method.NEAREST else bilinear
        assert_as_wanted(found, of(waves(30, 360), *exact(path, "EPSG:3413", window, 5000.0)))

    def test_web_mercator_too(self, tmp_path):
        crs, pixel, centre, _ = self.FIJI
        pixels = self.write(tmp_path, -1800000.0, {"all": slice(0, 18000)}, "EPSG:3857")
        window = around(crs, pixel, *centre, 150, 170)
        found = resampled(tmp_path / "all.tif", crs, window, Method.NEAREST, pixel=pixel)
        wanted = nearest(pixels, *exact(tmp_path / "all.tif", crs, window, pixel))
        assert_as_wanted(found, wanted)

    def test_longitudes_from_0_to_360(self, tmp_path):
        options = {"x0": 0.0, "y0": -10.0, "pixel": 0.1, "crs": "EPSG:4326"}
        path = write_tiff(tmp_path / "a.tif", waves(200, 3600), **options)
        for lon in (-100.0, 0.0, 180.0):
            window = around("EPSG:3857", 11000.0, lon - 1e-9, -20.0, 90, 80)
            window = replace(window, x1=window.x0 + 40) if lon == 180 else window
            found = resampled(path, "EPSG:3857", window, pixel=11000.0)
            wanted = bilinear(waves(200, 3600), *exact(path, "EPSG:3857", window, 11000.0))
            assert_as_wanted(found, wanted, 0.0)

    @pytest.mark.parametrize("method", [Method.AVERAGE, Method.LANCZOS])
    def test_what_gdal_does_alone(self, tmp_path, method):
        crs, pixel, centre, top = self.FIJI
        pixels = self.write(tmp_path, top, {"all": slice(0, 18000)})
        window = around(crs, pixel, *centre, 150, 170)
        found = resampled(tmp_path / "all.tif", crs, window, method, pixel=pixel)
        wanted = nearest(pixels, *exact(tmp_path / "all.tif", crs, window, pixel))
        np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.9

    def test_the_two_ends_are_read_and_nothing_in_between(self, tmp_path, monkeypatch):
        crs, pixel, centre, top = self.FIJI
        self.write(tmp_path, top, {"all": slice(0, 18000)})
        window = around(crs, pixel, *centre, 150, 170)
        asked = []
        fetch = RasterReader.fetch
        monkeypatch.setattr(
            RasterReader, "fetch", lambda self, part: asked.append(part.window) or fetch(self, part)
        )
        for method in (Method.BILINEAR, Method.LANCZOS):
            asked.clear()
            resampled(tmp_path / "all.tif", crs, window, method, pixel=pixel)
            assert asked
            assert max(each.shape_yx[1] for each in asked) < 500
