"""Reading rasters: equal to GDAL for every kind of file, on disk and over HTTP; failures."""

import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window as GdalWindow
from tests.engine.imagery import SAMPLES, write_tiff
from tests.engine.stac_api import serve_files

from landloom.raster.grid import Window
from landloom.raster.mosaic import read as reading
from landloom.raster.mosaic.blocks import BlockCache
from landloom.raster.mosaic.read import Part, RasterReader, RasterReadError

KINDS = [
    (dtype, compress, predictor)
    for dtype, compress, predictor in product(
        ("uint8", "uint16", "int16", "int32", "float32", "float64"),
        ("none", "deflate", "lzw", "zstd"),
        (1, 2, 3),
    )
    if (predictor < 3 or dtype.startswith("f")) and (predictor == 1 or compress != "none")
]


@pytest.fixture
def reader(monkeypatch):
    monkeypatch.setattr(reading, "FIRST_PAUSE_SECONDS", 0.01)
    opened = RasterReader()
    yield opened
    opened.close()


class TestParityWithGdal:
    def test_every_sample(self, reader):
        for path in sorted((SAMPLES / "imagery").rglob("*.tif")):
            raster = reader.open(str(path))
            assert raster.layout is not None
            with rasterio.open(path) as file:
                assert raster.transform == file.transform
                assert raster.crs == str(file.crs)
                assert raster.nodata == file.nodata
                np.testing.assert_array_equal(reader.read(raster, raster.extent), file.read(1))

    @pytest.mark.parametrize(("dtype", "compress", "predictor"), KINDS)
    @pytest.mark.parametrize(
        "shape",
        [{"bigtiff": "YES"}, {"tiled": False, "blockxsize": None, "blockysize": 7}],
        ids=["big-tiles", "strips"],
    )
    def test_every_kind(self, reader, tmp_path, dtype, compress, predictor, shape):
        pixels = (np.random.default_rng(1).random((150, 201)) * 200).astype(dtype)
        options = {"compress": compress, "predictor": predictor, "blockysize": 48} | shape
        path = write_tiff(tmp_path / "a.tif", pixels, **options)
        raster = reader.open(str(path))
        assert raster.layout is not None
        np.testing.assert_array_equal(reader.read(raster, raster.extent), pixels)
        window = Window(40, 60, 149, 130)
        np.testing.assert_array_equal(reader.read(raster, window), pixels[window.slices()])

    @pytest.mark.parametrize(
        "options", [{"compress": "lerc", "predictor": 1}, {"endianness": "BIG"}]
    )
    def test_other_kinds_go_through_gdal(self, reader, tmp_path, options):
        pixels = np.arange(90 * 70, dtype=np.uint16).reshape(90, 70)
        path = write_tiff(tmp_path / "a.tif", pixels, **options)
        raster = reader.open(str(path))
        assert raster.layout is None
        window = Window(3, 5, 80, 60)
        np.testing.assert_array_equal(reader.read(raster, window), pixels[window.slices()])

    def test_blocks_never_written_hold_nodata(self, reader, tmp_path):
        path = tmp_path / "sparse.tif"
        write_tiff(path, np.ones((10, 10), np.uint16), nodata=7)
        profile = rasterio.open(path).profile | {"height": 200, "width": 200, "sparse_ok": True}
        with rasterio.open(path, "w", **profile) as file:
            file.write(np.ones((64, 64), np.uint16), 1, window=GdalWindow(64, 64, 64, 64))
        raster = reader.open(str(path))
        assert 0 in raster.layout.counts
        with rasterio.open(path) as file:
            np.testing.assert_array_equal(reader.read(raster, raster.extent), file.read(1))


class TestSeveralBands:
    @pytest.mark.parametrize("interleave", ["pixel", "band"])
    @pytest.mark.parametrize(("dtype", "predictor"), [("uint8", 1), ("uint8", 2), ("uint16", 2)])
    @pytest.mark.parametrize("tiled", [True, False])
    def test_each_band_equals_gdal(self, reader, tmp_path, interleave, dtype, predictor, tiled):
        pixels = np.random.default_rng(2).integers(0, 250, (4, 150, 201)).astype(dtype)
        path = _write_bands(
            tmp_path, pixels, interleave=interleave, predictor=predictor, tiled=tiled
        )
        raster = reader.open(str(path))
        assert raster.layout is not None
        assert raster.bands == 4
        window = Window(40, 60, 149, 130)
        for band in range(4):
            whole = reader.read(raster, raster.extent, band)
            np.testing.assert_array_equal(whole, pixels[band])
            part = reader.read(raster, window, band)
            np.testing.assert_array_equal(part, pixels[band][window.slices()])

    @pytest.mark.parametrize(
        "options", [{"endianness": "BIG"}, {"dtype": "float32", "predictor": 3}]
    )
    def test_gdal_reads_the_band_that_is_meant(self, reader, tmp_path, options):
        pixels = np.arange(3 * 90 * 70).reshape(3, 90, 70).astype(options.get("dtype", "uint16"))
        path = _write_bands(tmp_path, pixels, interleave="pixel", **options)
        with serve_files(lambda _: path.read_bytes()) as url:
            for href in (str(path), f"{url}/bands.tif"):
                raster = reader.open(href)
                assert raster.layout is None
                assert raster.bands == 3
                for band in range(3):
                    found = reader.read(raster, raster.extent, band)
                    np.testing.assert_array_equal(found, pixels[band])

    def test_a_band_too_many_is_told(self, reader, tmp_path):
        path = _write_bands(tmp_path, np.ones((2, 20, 20), np.uint8))
        raster = reader.open(str(path))
        with pytest.raises(RasterReadError, match="2 bands, and number 3"):
            reader.read(raster, raster.extent, 2)


def _write_bands(folder, pixels, **options):
    path = folder / "bands.tif"
    first = write_tiff(path, pixels[0], compress="deflate", predictor=1)
    with rasterio.open(first) as file:
        profile = file.profile
    changes = {"count": len(pixels), "dtype": pixels.dtype.name} | options
    if not changes.get("tiled", True):
        changes |= {"blockxsize": None, "blockysize": 7}
    path.unlink()
    with rasterio.open(path, "w", **profile | changes) as file:
        file.write(pixels)
    return path


class TestMasks:
    """A mask in the file hides pixels, as rasterio's masked reading does."""

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"bigtiff": "YES", "blockxsize": 16, "blockysize": 16},
            {"tiled": False, "blockxsize": None, "blockysize": 7},
            {"compress": "jpeg", "predictor": 1},
            {"dtype": "uint16", "nodata": 9},
        ],
        ids=["tiles", "many-small-tiles", "strips", "jpeg", "nodata-too"],
    )
    @pytest.mark.parametrize("overviews", [(), (2, 4)])
    def test_are_read(self, reader, tmp_path, options, overviews):
        path = _write_masked(tmp_path, overviews, **options)
        with rasterio.open(path) as file:
            hidden, wanted = file.read_masks(1) == 0, file.read(1).astype(np.float32)
        assert hidden[:30].all()
        assert not hidden[30:].any()
        wanted[hidden] = np.nan
        with serve_files(lambda _: path.read_bytes()) as url:
            for href in (str(path), f"{url}/masked.tif"):
                raster = reader.open(href)
                assert raster.masked
                for window in (raster.extent, Window(20, 5, 60, 50)):
                    out = np.empty(window.shape_yx, np.float32)
                    reader.fetch(Part(raster, window)).read_into(out)
                    np.testing.assert_array_equal(out, wanted[window.slices()])
                classes = np.empty(raster.shape_yx, np.int64)
                reader.fetch(Part(raster, raster.extent)).read_into(classes)
                np.testing.assert_array_equal(classes, np.where(hidden, -1, wanted))

    def test_those_of_overviews_alone_and_subfiles_without_are_none(self, reader, tmp_path):
        path = write_tiff(tmp_path / "a.tif", np.ones((90, 70), np.uint8))
        with rasterio.open(path, "r+") as file:
            file.build_overviews((2, 4))
        raster = reader.open(str(path))
        assert raster.layout is not None
        assert not raster.masked

    def test_directories_in_a_circle_are_not_followed_for_ever(self, reader, tmp_path):
        path = write_tiff(tmp_path / "a.tif", np.ones((90, 70), np.uint8))
        data = bytearray(path.read_bytes())
        (start,) = struct.unpack_from("<I", data, 4)
        (count,) = struct.unpack_from("<H", data, start)
        struct.pack_into("<I", data, start + 2 + 12 * count, start)
        path.write_bytes(data)
        assert reader.open(str(path)).layout is not None


def _write_masked(folder, overviews, **options):
    """Write a raster whose first 30 rows are hidden by a mask."""
    kind = options.pop("dtype", "uint8")
    pixels = np.random.default_rng(4).integers(0, 200, (90, 70)).astype(kind)
    mask = np.full(pixels.shape, 255, np.uint8)
    mask[:30] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write_tiff(folder / "masked.tif", pixels, **{"nodata": None} | options)
        with rasterio.open(path, "r+") as file:
            file.write_mask(mask)
            if overviews:
                file.build_overviews(overviews)
    assert [each.name for each in folder.iterdir()] == ["masked.tif"]
    return path


def test_a_negative_pixel_height_is_taken_for_a_positive_one(reader, tmp_path):
    path = write_tiff(tmp_path / "a.tif", np.ones((90, 70), np.uint8))
    scale = struct.pack("<3d", 10, 10, 0)
    data = path.read_bytes()
    assert data.count(scale) == 1
    path.write_bytes(data.replace(scale, struct.pack("<3d", 10, -10, 0)))
    with rasterio.open(path) as file:
        assert file.transform.e == -10
        raster = reader.open(str(path))
        assert raster.layout is not None
        assert raster.transform == file.transform


class TestOverHttp:
    @pytest.fixture
    def body(self, tmp_path):
        self.pixels = np.random.default_rng(0).integers(0, 9999, (300, 200)).astype(np.uint16)
        return write_tiff(tmp_path / "a.tif", self.pixels).read_bytes()

    def test_ranges_give_the_same_pixels(self, reader, body):
        with serve_files(lambda _: body) as url:
            raster = reader.open(f"{url}/a.tif")
            found = np.empty(raster.shape_yx, np.float32)
            reader.fetch(Part(raster, raster.extent)).read_into(found)
        np.testing.assert_array_equal(found, self.pixels)

    def test_two_answers_503_then_all_is_well(self, reader, body):
        answers = [503, 503]
        with serve_files(lambda _: answers.pop() if answers else body) as url:
            raster = reader.open(f"{url}/a.tif")
            answers += [503, 503]
            np.testing.assert_array_equal(reader.read(raster, raster.extent), self.pixels)

    def test_404_is_not_asked_again(self, reader):
        asked = []

        def answer(path):
            asked.append(path)
            return 404

        with serve_files(answer) as url, pytest.raises(RasterReadError, match=url):
            reader.open(f"{url}/a.tif")
        assert len(asked) == 1

    def test_gdal_reads_through_the_same_door(self, reader, tmp_path):
        pixels = np.arange(90 * 70, dtype=np.uint16).reshape(90, 70)
        body = write_tiff(tmp_path / "a.tif", pixels, endianness="BIG").read_bytes()
        with serve_files(lambda _: body) as url:
            raster = reader.open(f"{url}/a.tif")
            np.testing.assert_array_equal(reader.read(raster, raster.extent), pixels)


class TestFailures:
    def test_a_file_that_is_cut_off(self, reader, tmp_path):
        rng = np.random.default_rng(0)
        path = write_tiff(tmp_path / "a.tif", rng.integers(0, 9, (300, 300)).astype(np.uint16))
        raster = reader.open(str(path))
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(RasterReadError, match=r"cut off.*3 attempts"):
            reader.read(raster, raster.extent)

    def test_bytes_that_are_not_what_they_seem(self, reader, tmp_path):
        path = write_tiff(tmp_path / "a.tif", np.ones((64, 64), np.uint16))
        raster = reader.open(str(path))
        data = bytearray(path.read_bytes())
        data[int(raster.layout.offsets[0]) : int(raster.layout.offsets[0]) + 8] = b"garbage!"
        path.write_bytes(data)
        with pytest.raises(RasterReadError, match="cannot be decoded"):
            reader.read(raster, raster.extent)

    def test_no_file_and_no_raster(self, reader, tmp_path):
        with pytest.raises(RasterReadError, match=r"none\.tif"):
            reader.open(str(tmp_path / "none.tif"))
        (tmp_path / "text.tif").write_text("hello")
        with pytest.raises(RasterReadError, match="3 attempts"):
            reader.open(str(tmp_path / "text.tif"))

    def test_failures_of_many_are_returned_in_place(self, reader, tmp_path):
        path = write_tiff(tmp_path / "a.tif", np.ones((64, 64), np.uint16))
        good, bad = reader.open_many([str(path), str(tmp_path / "none.tif")])
        assert good.shape_yx == (64, 64)
        assert isinstance(bad, RasterReadError)


class TestBlockCache:
    def test_threads_decode_a_block_once(self):
        cache, loaded, gate = BlockCache(10**6), [], threading.Barrier(4)

        def load(places):
            loaded.extend(places)
            return [np.full(3, place) for place in places]

        def work(_):
            gate.wait()
            return cache.get(["a", "b"], load)

        with ThreadPoolExecutor(4) as pool:
            for blocks in pool.map(work, range(4)):
                assert [block[0] for block in blocks] == [0, 1]
        assert sorted(loaded) == [0, 1]

    def test_it_holds_no_more_than_its_limit(self):
        cache = BlockCache(100)
        loads = []

        def load(places):
            loads.append(places)
            return [np.zeros(60, np.uint8) for _ in places]

        for key in ("a", "b", "b", "a"):
            cache.get([key], load)
        assert len(loads) == 3

    def test_what_was_taken_whole_is_forgotten(self):
        cache, loads = BlockCache(10**6), []

        def load(places):
            loads.append(places)
            return [np.zeros(60, np.uint8) for _ in places]

        for share in (0.5, 0.5, 0.5):
            cache.get(["a"], load, [share])
        assert len(loads) == 2
        assert cache.holds("a")

    def test_a_failure_reaches_the_caller_and_is_not_kept(self):
        cache = BlockCache(100)

        def broken(places):
            raise OSError("no")

        with pytest.raises(OSError, match="no"):
            cache.get(["a"], broken)
        assert cache.get(["a"], lambda _: [np.ones(1)])[0][0] == 1


class TestEpochs:
    """What lies at a name may be another file by the next workflow."""

    def test_a_header_and_its_pixels_are_read_anew_once_an_epoch(self, reader, tmp_path):
        path = tmp_path / "a.tif"
        for value, side in ((1, 100), (2, 150)):
            write_tiff(path, np.full((side, side), value, np.uint16))
            reader.follow(f"epoch {value}")
            raster = reader.open(str(path))
            assert (reader.read(raster, raster.extent) == value).all()
            assert raster.shape_yx == (side, side)
            assert reader.epoch == f"epoch {value}"
        # Tasks of one and the other workflow take turns: none of them forgets for it.
        reader.follow("epoch 1")
        assert reader.open(str(path)) is raster

    def test_a_header_that_was_being_read_as_all_was_forgotten_is_not_kept(
        self, reader, tmp_path, monkeypatch
    ):
        path = str(write_tiff(tmp_path / "a.tif", np.ones((100, 100), np.uint16)))
        opened = reading._open

        def slow(href):
            raster = opened(href)
            reader.renew()
            return raster

        monkeypatch.setattr(reading, "_open", slow)
        before = reader.open(path)
        monkeypatch.setattr(reading, "_open", opened)
        assert reader.open(path) is not before
