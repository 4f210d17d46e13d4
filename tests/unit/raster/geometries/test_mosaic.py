"""Geometries over whole mosaics: what is found does not depend on how the work was cut."""

import json
import pickle
from contextlib import closing
from functools import partial
from itertools import count

import duckdb
import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyproj import Geod, Transformer
from rasterio.features import rasterize
from scipy import ndimage
from tests.engine.cubes import cube, never, unheard
from tests.engine.finders import AreaFinder
from tests.engine.geometry_models import areas, blob_finder

from landloom.errors import Cancelled, InvalidInput, ModelUnavailable
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.geometries.mosaic import find_geometries
from landloom.raster.geometries.prediction import check_geometry_model, predict_geometries
from landloom.wire.requests import GeometryInference

BANDS = ["r", "g", "b"]
UTM = 32633


def asked(**more) -> GeometryInference:
    said = {
        "model_path": "finder.pt2", "features": BANDS, "text_prompt": ["red"],
        "confidence_threshold": 0.0, "patch_size": 16, "clip_size": 4, "max_batch_size": 5,
    }  # fmt: skip
    return GeometryInference(**said | more)


def found(folder, sources, inference=None, make=AreaFinder, *, name="out", workers=2, **more):
    executor = LocalExecutor(workers)
    said = {"report": unheard, "cancelled": never, "target_crs": UTM, "identity": "areas"} | more
    try:
        uri, rows = find_geometries(
            sources, inference or asked(), make, f"{folder}/{name}.parquet",
            executor=executor, **said,
        )  # fmt: skip
    finally:
        executor.close()
    frame = gpd.read_parquet(uri)
    assert len(frame) == rows
    return frame


def in_pixels(frame, store) -> list[bytes]:
    """The pixels of each geometry, by rasterio, sorted."""
    shape, transform = store.shape_yx, store.geobox.affine
    return sorted(
        rasterize([geometry], shape, transform=transform, dtype="uint8").tobytes()
        for geometry in frame.geometry
    )


def drawn(mask: np.ndarray) -> bytes:
    return mask.astype(np.uint8).tobytes()


def blobs(seed, shape=(3, 61, 75), smooth=1.0):
    noise = np.random.default_rng(seed).random(shape)
    smoothed = ndimage.gaussian_filter(noise, (0, smooth, smooth))
    known = np.quantile(smoothed, [0.0, 0.7, 0.9, 1.0])
    return np.interp(smoothed, known, [0, 100, 200, 255]).astype(np.float32)


class TestWhatIsFound:
    @settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate])
    @given(
        seed=st.integers(0, 10_000),
        smooth=st.sampled_from([0.5, 0.9, 1.6]),
        origin=st.tuples(st.integers(-50, 50), st.integers(-50, 50)),
    )
    def test_is_each_area_once_and_whole_however_many_patches_it_crosses(
        self, tmp_path_factory, seed, smooth, origin
    ):
        pixels = blobs(seed, smooth=smooth)
        folder = tmp_path_factory.mktemp("areas")
        store = cube(folder / "c.zarr", pixels, bands=BANDS, origin_yx=origin)
        frame = found(folder, [store])
        assert in_pixels(frame, store) == sorted(drawn(mask) for mask in areas(pixels[0], 100))

    def test_a_spiral_through_all_patches_is_one_geometry(self, tmp_path):
        pixels = np.zeros((3, 64, 64), np.float32)
        pixels[0] = 200 * spiral(64)
        store = cube(tmp_path / "c.zarr", pixels, bands=BANDS)
        frame = found(tmp_path, [store])
        assert in_pixels(frame, store) == [drawn(pixels[0] > 0)]

    def test_scores_are_the_best_of_all_views(self, tmp_path):
        pixels = np.zeros((3, 40, 40), np.float32)
        pixels[0, 5:7, 2:38] = np.linspace(110, 250, 36)
        store = cube(tmp_path / "c.zarr", pixels, bands=BANDS)
        assert found(tmp_path, [store]).bbox_score.tolist() == [pytest.approx(250 / 255)]

    def test_the_threshold_counts(self, tmp_path):
        pixels = np.zeros((3, 40, 40), np.float32)
        pixels[0, 3, 3], pixels[0, 20, 20] = 120, 240
        store = cube(tmp_path / "c.zarr", pixels, bands=BANDS)
        frame = found(tmp_path, [store], asked(confidence_threshold=0.9))
        assert in_pixels(frame, store) == [drawn(pixels[0] > 200)]

    def test_pixels_without_a_value_belong_to_nothing(self, tmp_path):
        pixels = np.full((3, 20, 20), 150, np.float32)
        pixels[1, 8:12, 8:12] = np.nan
        store = cube(tmp_path / "c.zarr", pixels, bands=BANDS)
        frame = found(tmp_path, [store])
        assert in_pixels(frame, store) == [drawn(~np.isnan(pixels[1]))]

    def test_a_mosaic_smaller_than_a_patch_has_its_things(self, tmp_path):
        pixels = np.zeros((3, 3, 5), np.float32)
        pixels[0, 1, 1:4] = 200
        store = cube(tmp_path / "c.zarr", pixels, bands=BANDS)
        assert in_pixels(found(tmp_path, [store]), store) == [drawn(pixels[0] > 0)]

    def test_an_empty_mosaic_has_nothing_and_opens_all_the_same(self, tmp_path):
        store = cube(tmp_path / "c.zarr", np.full((3, 20, 20), np.nan, np.float32), bands=BANDS)
        frame = found(tmp_path, [store])
        assert len(frame) == 0
        assert frame.crs.to_epsg() == UTM

    def test_boxes_are_the_bounds_of_the_things(self, tmp_path):
        pixels = blobs(3)
        store = cube(tmp_path / "c.zarr", pixels, bands=BANDS)
        boxes = found(tmp_path, [store], asked(output="boxes"), name="boxes")
        outlines = found(tmp_path, [store], name="outlines")
        assert set(boxes.geom_type) == {"Polygon"}
        expected = sorted(shapely.box(*each.bounds).normalize().wkb for each in outlines.geometry)
        assert sorted(each.normalize().wkb for each in boxes.geometry) == expected

    def test_a_model_without_masks_gives_its_boxes(self, tmp_path):
        pixels = np.zeros((3, 40, 40), np.float32)
        pixels[0, 5, 4:9] = pixels[0, 5:9, 4] = 200
        store = cube(tmp_path / "c.zarr", pixels, bands=BANDS)
        frame = found(tmp_path, [store], make=partial(AreaFinder, masks=False))
        square = np.zeros((40, 40), bool)
        square[5:9, 4:9] = True
        assert in_pixels(frame, store) == [drawn(square)]

    def test_every_prompt_and_time_step_of_every_mosaic_is_answered(self, tmp_path):
        first = cube(tmp_path / "a.zarr", np.stack([blobs(1), blobs(2)]), bands=BANDS)
        second = cube(tmp_path / "b.zarr", blobs(3), bands=BANDS, origin_yx=(7, 9))
        frame = found(
            tmp_path, [first, second], asked(text_prompt=["red", "green"]),
            partial(AreaFinder, prompts=2),
        )  # fmt: skip
        expected = {
            (year, prompt): sum(len(areas(pixels[band], 100)) for pixels in several)
            for year, several in ((2023, [blobs(1), blobs(3)]), (2024, [blobs(2)]))
            for band, prompt in enumerate(["red", "green"])
        }
        counts = frame.groupby([frame.time.dt.year, frame.label]).size().to_dict()
        assert counts == expected


class TestTheWayOfWorking:
    @pytest.mark.parametrize(
        ("workers", "batch", "piece_pixels"), [(1, 1, 256), (2, 7, 2000), (3, 16, 8 << 20)]
    )
    def test_is_not_seen_in_the_file(self, tmp_path, workers, batch, piece_pixels):
        store = cube(tmp_path / "c.zarr", blobs(5), bands=BANDS)
        usual = found(tmp_path, [store], name="usual")
        other = found(
            tmp_path, [store], make=partial(AreaFinder, batch=batch), name="other",
            workers=workers, piece_pixels=piece_pixels,
        )  # fmt: skip
        parts = sorted(tmp_path.glob("usual.parquet/*.parquet"))
        for part in parts:
            twin = tmp_path / "other.parquet" / part.name
            assert pq.read_table(part).equals(pq.read_table(twin))
        assert len(usual) == len(other) > 20

    def test_pieces_and_models_travel_to_other_processes(self, tmp_path):
        class Elsewhere(LocalExecutor):
            def map_with(self, make, run, tasks, cancelled, *, gpus=0.0):
                sent = pickle.loads(pickle.dumps((make, run, list(tasks))))  # noqa: S301 - our own
                yield from super().map_with(*sent, cancelled, gpus=gpus)

        store = cube(tmp_path / "c.zarr", blobs(5), bands=BANDS)
        with closing(Elsewhere(1)) as executor:
            uri, rows = find_geometries(
                [store], asked(), AreaFinder, f"{tmp_path}/out.parquet", identity="areas",
                executor=executor, report=unheard, cancelled=never,
            )  # fmt: skip
        assert rows == len(gpd.read_parquet(uri)) == len(areas(blobs(5)[0], 100))

    def test_two_overlapping_mosaics_agree_on_what_both_see_whole(self, tmp_path):
        pixels = blobs(8, (3, 80, 80))
        whole = cube(tmp_path / "a.zarr", pixels, bands=BANDS, origin_yx=(100, 200))
        part = cube(tmp_path / "b.zarr", pixels[:, 17:, 23:], bands=BANDS, origin_yx=(117, 223))
        inner = shapely.box(*part.geobox.extent.boundingbox).buffer(-1)
        kept = [
            {
                each.wkb
                for each in found(tmp_path, [store], name=name).geometry
                if inner.covers(each)
            }
            for name, store in (("a", whole), ("b", part))
        ]
        assert kept[0] == kept[1]
        assert len(kept[0]) > 10

    def test_a_cancelled_run_goes_on_where_it_was(self, tmp_path):
        store = cube(tmp_path / "c.zarr", blobs(5), bands=BANDS)
        straight = found(tmp_path, [store], name="straight", piece_pixels=600)
        told = []

        def enough() -> bool:
            return len(told) > 4

        def report(stage, message, done=None, total=None):
            told.append((done, total))

        with pytest.raises(Cancelled):
            found(
                tmp_path, [store], report=report, cancelled=enough, piece_pixels=600, workers=1
            )  # fmt: skip
        again = []

        def report_again(stage, message, done=None, total=None):
            again.append((stage, done, total))

        frame = found(tmp_path, [store], report=report_again, piece_pixels=600)
        first = next(each for each in again if each[0] == "predict")
        assert first[1] >= 3
        assert frame.equals(straight)
        assert not list(tmp_path.glob("out.parquet/_landloom/**/*.arrow"))

    def test_another_question_uses_nothing_of_the_first(self, tmp_path):
        store = cube(tmp_path / "c.zarr", blobs(5), bands=BANDS)
        calls = count()
        with pytest.raises(Cancelled):
            found(tmp_path, [store], cancelled=lambda: next(calls) > 40, piece_pixels=600)
        assert list(tmp_path.glob("out.parquet/_landloom/**/*.arrow"))
        told = []
        found(
            tmp_path, [store], asked(confidence_threshold=0.5), piece_pixels=600,
            report=lambda *said: told.append(said),
        )  # fmt: skip
        assert told[0][2] == 0


@pytest.fixture(scope="module")
def frame_and_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("file")
    store = cube(folder / "c.zarr", blobs(5, (3, 120, 140)), bands=BANDS)
    return found(folder, [store], target_crs=4326), folder / "out.parquet"


class TestTheFile:
    def test_has_the_columns_of_the_contract(self, frame_and_path):
        _, path = frame_and_path
        schema = pq.read_schema(next(path.glob("part-*.parquet")))
        assert schema.names == ["geometry", "time", "label", "bbox", "bbox_score"]
        geo = json.loads(schema.metadata[b"geo"])
        assert geo["version"] == "1.1.0"
        assert geo["columns"]["geometry"]["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]

    def test_geometries_are_valid_and_boxes_cover_them(self, frame_and_path):
        frame, path = frame_and_path
        assert frame.crs.to_epsg() == 4326
        assert frame.geometry.is_valid.all()
        boxes = pq.read_table(path, columns=["bbox"])["bbox"].to_pylist()
        for box, geometry in zip(boxes, frame.geometry, strict=True):
            assert (box["xmin"], box["ymin"], box["xmax"], box["ymax"]) == geometry.bounds

    def test_opens_in_duckdb(self, frame_and_path):
        frame, path = frame_and_path
        table = duckdb.read_parquet(f"{path}/*.parquet")
        counted = table.aggregate("label, count(*), min(bbox_score)").fetchall()
        assert counted == [("red", len(frame), frame.bbox_score.min())]

    def test_neighbours_in_the_file_are_neighbours_on_the_ground(self, frame_and_path):
        centres = frame_and_path[0].to_crs(UTM).geometry.centroid
        xy = np.stack([centres.x, centres.y], axis=1)
        steps = np.linalg.norm(np.diff(xy, axis=0), axis=1).mean()
        shuffled = np.random.default_rng(0).permutation(xy)
        assert steps < 0.5 * np.linalg.norm(np.diff(shuffled, axis=0), axis=1).mean()


class TestAcrossTheAntimeridian:
    @pytest.fixture(scope="class")
    @staticmethod
    def store(tmp_path_factory):
        """A raster of UTM zone 1 with a thing across 180 degrees, and one on each side."""
        east, north = Transformer.from_crs(4326, 32601, always_xy=True).transform(-180, 52)
        pixels = np.zeros((3, 60, 90), np.float32)
        pixels[0, 10:30, 35:55] = 200
        pixels[0, 40:50, 3:12] = pixels[0, 40:50, 70:85] = 150
        origin = (-round(north / 10) - 25, round(east / 10) - 45)
        folder = tmp_path_factory.mktemp("zone")
        return cube(folder / "c.zarr", pixels, bands=BANDS, epsg=32601, origin_yx=origin)

    @pytest.mark.parametrize("output", ["polygons", "boxes"])
    def test_things_are_cut_in_two_and_declared_as_what_they_are(self, tmp_path, store, output):
        frame = found(tmp_path, [store], asked(output=output), target_crs=4326)
        assert len(frame) == 3
        assert set(frame.geom_type) == {"MultiPolygon"}
        part = next((tmp_path / "out.parquet").glob("part-*.parquet"))
        geo = json.loads(pq.read_schema(part).metadata[b"geo"])
        assert geo["columns"]["geometry"]["geometry_types"] == ["MultiPolygon"]
        assert frame.is_valid.all()
        parts = frame.geometry.explode()
        assert len(parts) == 4
        assert (parts.bounds.maxx - parts.bounds.minx < 0.01).all()
        areas_m2 = sorted(np.abs([Geod(ellps="WGS84").geometry_area_perimeter(each)[0]
                                  for each in frame.geometry]))  # fmt: skip
        np.testing.assert_allclose(areas_m2, [9000, 15000, 40000], rtol=0.003)

    def test_boxes_elsewhere_stay_polygons(self, tmp_path, store):
        frame = found(tmp_path, [store], asked(output="boxes"), target_crs=32601)
        assert set(frame.geom_type) == {"Polygon"}


class TestRequests:
    def test_a_missing_band_is_named(self, tmp_path):
        store = cube(tmp_path / "c.zarr", blobs(1), bands=["r", "g", "x"])
        with pytest.raises(InvalidInput, match="no band 'b'"):
            found(tmp_path, [store])

    def test_patches_without_common_ground_are_refused(self, tmp_path):
        store = cube(tmp_path / "c.zarr", blobs(1), bands=BANDS)
        with pytest.raises(InvalidInput, match="clip_size is 0"):
            found(tmp_path, [store], asked(clip_size=0))

    def test_a_prompt_said_twice_is_refused(self, tmp_path):
        store = cube(tmp_path / "c.zarr", blobs(1), bands=BANDS)
        with pytest.raises(InvalidInput, match="twice"):
            found(tmp_path, [store], asked(text_prompt=["red", "red"]))

    def test_no_such_crs(self, tmp_path):
        store = cube(tmp_path / "c.zarr", blobs(1), bands=BANDS)
        with pytest.raises(InvalidInput, match="EPSG:999999"):
            found(tmp_path, [store], target_crs=999999)

    def test_a_model_that_is_not_here_is_told_before_a_pixel_is_read(self, tmp_path):
        with pytest.raises(ModelUnavailable, match="finder"):
            check_geometry_model(asked(), tmp_path / "models", unheard)


class TestModelFile:
    def test_a_pt2_file_finds_what_its_rule_says(self, tmp_path):
        model = blob_finder(tmp_path / "finder.pt2")
        pixels = blobs(11, (3, 50, 60))
        store = cube(tmp_path / "c.zarr", pixels, bands=BANDS)
        executor = LocalExecutor(2)
        uri, rows = predict_geometries(
            [store],
            asked(model_path=str(model.path), text_prompt=["green", "very blue"]),
            str(tmp_path / "found.parquet"),
            models=tmp_path / "models", executor=executor, report=unheard, cancelled=never,
            target_crs=UTM,
        )  # fmt: skip
        executor.close()
        frame = gpd.read_parquet(uri)
        assert rows == len(frame)
        for prompt, band, level in (("green", 1, 100), ("very blue", 2, 200)):
            own = frame[frame.label == prompt]
            masks = areas(pixels[band], level)
            assert in_pixels(own, store) == sorted(drawn(mask) for mask in masks)
            scores = sorted(pixels[band][mask].max() / 255 for mask in masks)
            np.testing.assert_allclose(sorted(own.bbox_score), scores, rtol=1e-6)


def spiral(side: int) -> np.ndarray:
    """A line two pixels wide that winds inward with two pixels between its turns."""
    line = np.zeros((side, side), bool)
    low, high = 0, side - 2
    while high - low > 4:
        line[low : low + 2, low : high + 2] = True
        line[low : high + 2, high : high + 2] = True
        line[high : high + 2, low : high + 2] = True
        line[low + 4 : high + 2, low : low + 2] = True
        line[low + 4 : low + 6, low : low + 6] = True
        low, high = low + 4, high - 4
    return line
