"""Ten complaints that users of other tools filed again and again, and that must not hold here.

Each class is one of them; its first line names the public reports it stands for.
"""

import tracemalloc
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
import xarray as xr
from scipy import ndimage
from shapely.geometry import box, mapping
from tests.engine.cubes import ORIGIN_YX, all_pixels, cube, never, unheard
from tests.engine.exported import Echo, Net, Tenth, exported
from tests.engine.finders import AreaFinder
from tests.engine.imagery import BANDS, item, write_items, write_tiff
from tests.engine.polygons import fingerprints, rasterio_shapes
from tests.engine.sensors import SAMPLES, overlay
from tests.engine.tolerances import PREDICTED

from landloom.errors import ModelRejected
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.geometries.mosaic import find_geometries
from landloom.raster.models.load import load_model
from landloom.raster.predict import shards
from landloom.raster.predict.mosaic import predict_mosaic
from landloom.raster.settings import EngineSettings
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize import hilbert, seams, spill
from landloom.raster.vectorize.config import VectorizeConfig
from landloom.raster.vectorize.mosaic import vectorize_mosaic
from landloom.raster.workflow import run
from landloom.wire.requests import (
    BuildAndPredictRecipe,
    BuildMosaics,
    GeometryInference,
    Inference,
)

UTM = 32633


@pytest.fixture
def executor():
    with closing(LocalExecutor(2)) as pool:
        yield pool


def inference(**more) -> Inference:
    said = {
        "model_path": "m.pt2", "patch_size": 32, "clip_size": 4, "features": ["b0", "b1"],
        "labels": ["ground", "field", "edge"], "max_batch_size": 4, **more,
    }  # fmt: skip
    return Inference(**said)


def predicted(source, model, output, executor, report=unheard, **more) -> CubeStore:
    predict_mosaic(
        source, inference(**more), model, str(output), executor=executor, report=report,
        warn=unheard, cancelled=never,
    )  # fmt: skip
    return CubeStore.open(str(output))


def vectorized(source, output, executor, report=unheard, **config) -> str:
    uri, _ = vectorize_mosaic(
        source, VectorizeConfig.parse(config, ["field"], 0.5), str(output), UTM,
        executor=executor, report=report, warn=unheard, cancelled=never,
    )  # fmt: skip
    return uri


def polygons(source, output, executor, report=unheard, **config) -> gpd.GeoDataFrame:
    return gpd.read_parquet(vectorized(source, output, executor, report, **config))


def blobs(side_y: int, side_x: int, size: float, seed: int = 4) -> np.ndarray:
    """Scores, 0 to 1, in smooth blobs; half of the ground is above 0.5."""
    noise = np.random.default_rng(seed).random((side_y, side_x))
    smooth = ndimage.gaussian_filter(noise, size)
    return (0.5 + (smooth - np.median(smooth)) / (2 * np.ptp(smooth))).astype(np.float32)


def in_pixels(frame: gpd.GeoDataFrame) -> list[bytes]:
    gy, gx = ORIGIN_YX

    def move(xy):
        return np.stack([xy[:, 0] / 10 - gx, -xy[:, 1] / 10 - gy], axis=1).round(6)

    return fingerprints([shapely.transform(each, move) for each in frame.geometry])


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return load_model(exported(tmp_path_factory.mktemp("net") / "net.pt2", Net()))


def one_shot(pixels: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        found = torch.softmax(Net().eval()(torch.from_numpy(pixels)[None]), 1)[0]
    return found.numpy()


class TestFieldsAreCutAtTheWindowsOfThePolygonizer:
    """fieldsoftheworld/ftw-baselines 27, 174, 180."""

    def test_every_field_is_whole(self, tmp_path, executor):
        scores = blobs(150, 131, 5.0)
        source = cube(tmp_path / "p.zarr", scores[None], bands=["field"], shard=32)
        expected = fingerprints(rasterio_shapes((scores >= 0.5).astype(np.uint8)))
        assert in_pixels(polygons(source, tmp_path / "v.parquet", executor)) == expected


class TestTouchingFieldsBecomeOneGiant:
    """fieldsoftheworld/ftw-baselines 72, 152."""

    @pytest.fixture
    def source(self, tmp_path):
        scores = np.zeros((64, 64), np.float32)
        scores[10:30, 5:28] = scores[10:30, 32:60] = 0.9
        scores[19:21, 28:32] = 0.9
        scores[40:60, 10:30] = 0.9
        return cube(tmp_path / "p.zarr", scores[None], bands=["field"], shard=32)

    def test_a_watershed_parts_them_at_the_waist(self, tmp_path, source, executor):
        assert len(polygons(source, tmp_path / "fused.parquet", executor)) == 2
        parted = polygons(source, tmp_path / "parted.parquet", executor, watershed=True)
        assert len(parted) == 3
        fused = polygons(source, tmp_path / "again.parquet", executor)
        assert parted.union_all().equals(fused.union_all())

    def test_a_greatest_area_leaves_giants_out(self, tmp_path, source, executor):
        kept = polygons(source, tmp_path / "v.parquet", executor, max_area_m2=60_000)
        assert len(kept) == 1
        assert kept.geometry.iloc[0].area == pytest.approx(20 * 20 * 100)


class TestSmallAreasHaveNoResult:
    """fieldsoftheworld/ftw-baselines 89."""

    def test_a_recipe_answers_for_an_area_of_three_pixels(self, tmp_path):
        settings = EngineSettings(
            catalog=SAMPLES / "catalog.toml", models=tmp_path / "models",
            output_uri=f"{tmp_path}/out/", workers=2,
        )  # fmt: skip
        request = BuildAndPredictRecipe(
            model_recipe="SAMPLE_FIELDS", aoi=mapping(box(13.115, 48.283, 13.1152, 48.2831)),
            start="2021-01-01", end="2022-01-01",
        )  # fmt: skip
        made = run(request, settings=settings, seed="one", show=unheard)
        values = xr.open_zarr(made.mosaics[0].location)["variables"].values
        assert max(values.shape[2:]) <= 4
        assert np.isfinite(values).all()
        np.testing.assert_allclose(values.sum(axis=1), 1, atol=PREDICTED)


class TestProcessingVersionsShiftTheValues:
    """fieldsoftheworld/ftw-baselines 86."""

    def test_scenes_of_either_side_of_baseline_4_have_one_scale(self, tmp_path):
        ground = np.random.default_rng(1).integers(1, 4000, (64, 64)).astype(np.uint16)
        items = []
        for name, baseline, offset, day in (("old", "03.01", 0, 1), ("new", "05.10", 1000, 6)):
            files = {
                band: write_tiff(tmp_path / name / f"{band}.tif", ground + np.uint16(offset))
                for band in BANDS
            }
            hrefs = {band: str(path) for band, path in files.items()}
            more = {"s2:processing_baseline": baseline}
            when = f"2023-06-0{day}T10:00:00Z"
            items.append(item(name, hrefs, files["B02"], when, **more))
        source = write_items(tmp_path / "items.json", items)
        settings = EngineSettings(
            catalog=overlay(tmp_path, more=self.entry(source)), models=tmp_path / "models",
            output_uri=f"{tmp_path}/out/", workers=2,
        )  # fmt: skip
        request = BuildMosaics(
            datasets=["MIXED"], aoi={"type": "FeatureCollection", "features": [
                {"type": "Feature", "properties": {}, "geometry": items[0]["geometry"]}
            ]}, start="2023-01-01", end="2024-01-01", target_crs=UTM,
        )  # fmt: skip
        made = run(request, settings=settings, seed="one", show=unheard)
        store = xr.open_zarr(made.mosaics[0].location)["variables"]
        counts = store.sel(band="mixed:N_VALID_PIXELS").values[0]
        values = store.sel(band="mixed:B04").values[0]
        assert np.nanmax(counts) == 2
        seen = np.isfinite(values)
        assert sorted(values[seen].astype(int)) == sorted(ground.ravel().tolist())

    def entry(self, source: Path) -> str:
        bands = "\n".join(f'{band} = "{band}"' for band in BANDS)
        return (
            f'\n[datasets.MIXED]\nprefix = "mixed"\nresolution = 10.0\nnodata = 0\n'
            f'source = {{ kind = "static", href = "{source}" }}\nradiometry = "sentinel2_l2a"\n'
            f'count_band = "N_VALID_PIXELS"\n[datasets.MIXED.bands]\n{bands}\n'
        )


class TestStitchingIsLeftToTheUserAndHappensInMemory:
    """torchgeo/torchgeo 30, 1991, 3214, 3667."""

    def test_patches_come_back_as_one_blended_raster(self, tmp_path, net, executor):
        pixels = np.random.default_rng(0).random((2, 90, 110)).astype(np.float32)
        source = cube(tmp_path / "s.zarr", pixels)
        found = all_pixels(predicted(source, net, tmp_path / "p.zarr", executor))
        inner = (slice(None), slice(2, -2), slice(2, -2))  # the net looks 2 px far
        np.testing.assert_allclose(found[inner], one_shot(pixels)[inner], atol=PREDICTED)

    def test_a_patch_next_to_another_without_overlap_is_no_special_case(
        self, tmp_path, net, executor
    ):
        pixels = np.random.default_rng(0).random((2, 70, 80)).astype(np.float32)
        source = cube(tmp_path / "s.zarr", pixels)
        found = predicted(source, net, tmp_path / "p.zarr", executor, clip_size=0)
        assert np.isfinite(all_pixels(found)).all()


class TestTheOutputIsAllocatedWhole:
    """opengeos/geoai 798; azavea/raster-vision 616, 635."""

    SIDES = (384, 1152)

    def test_memory_does_not_follow_the_raster(self, tmp_path, executor, monkeypatch):
        # What may be held at a time, in proportion to rasters that are small for a test.
        monkeypatch.setattr(shards, "KEPT_BYTES", 1 << 20)
        monkeypatch.setattr(spill, "STRETCH_CORNERS", 2000)
        monkeypatch.setattr(hilbert, "CELL_BITS", 7)
        monkeypatch.setattr(seams, "SMALLEST_DRAIN", 20)
        pixels = blobs(self.SIDES[1], self.SIDES[1], 12.0)
        model = load_model(exported(tmp_path / "echo.pt2", Echo(), patch=128))
        said = {
            "patch_size": 128, "clip_size": 16, "labels": ["field", "other"],
            "actor": "regression_pytorch",
        }  # fmt: skip
        peaks: dict[str, list[int]] = {"predict": [], "vectorize": []}
        for name, side in (("warm", self.SIDES[0]), ("small", self.SIDES[0]), ("l", self.SIDES[1])):
            part = pixels[:side, :side]
            source = cube(tmp_path / f"{name}.zarr", np.stack([part, part]), shard=128, chunk=64)
            with peak() as found:
                prediction = predicted(source, model, tmp_path / f"{name}-p.zarr", executor, **said)
            peaks["predict"].append(found[0])
            with peak() as found:
                vectorized(prediction, tmp_path / f"{name}.parquet", executor)
            peaks["vectorize"].append(found[0])
        # A row of patches and a front of cut areas are as long as a side, which is three times.
        for _, small, large in peaks.values():
            assert large < 2 * small


class TestEdgeTilesFailAndObjectsInThePaddingAreLost:
    """opengeos/geoai 696, 697."""

    def test_a_mosaic_that_is_neither_square_nor_a_patch_wide_is_predicted(
        self, tmp_path, net, executor
    ):
        pixels = np.random.default_rng(0).random((2, 21, 101)).astype(np.float32)
        source = cube(tmp_path / "s.zarr", pixels)
        found = all_pixels(predicted(source, net, tmp_path / "p.zarr", executor))
        inner = (slice(None), slice(2, -2), slice(2, -2))
        np.testing.assert_allclose(found[inner], one_shot(pixels)[inner], atol=PREDICTED)

    def test_an_object_at_every_place_of_a_patch_is_found_once(self, tmp_path, executor):
        pixels = np.zeros((1, 83, 97), np.float32)
        pixels[0, 1::4, 1::5] = 200
        source = cube(tmp_path / "s.zarr", pixels, bands=["r"])
        asked = GeometryInference(
            model_path="m.pt2", features=["r"], text_prompt=["dot"], patch_size=16, clip_size=4,
        )  # fmt: skip
        _, count = find_geometries(
            [source], asked, AreaFinder, f"{tmp_path}/found.parquet", identity="dots",
            executor=executor, report=unheard, cancelled=never,
        )  # fmt: skip
        assert count == np.count_nonzero(pixels)


class TestLinesAtTheEdgesOfChips:
    """azavea/raster-vision 1055, 1057; ESAOpenSR/opensr-model 7."""

    def test_steps_between_patches_are_no_larger_than_within(self, tmp_path, executor):
        # The model sees a gradient that begins anew in each patch: the worst case for seams.
        file = exported(tmp_path / "tilt.pt2", Tilted(), channels=1)
        source = cube(tmp_path / "s.zarr", np.ones((1, 128, 128), np.float32))
        said = {
            "features": ["b0"], "labels": ["height"], "actor": "regression_pytorch", "clip_size": 8,
        }  # fmt: skip
        steps = {}
        for mode in ("weighted_average", "clip"):
            store = predicted(
                source, load_model(file), tmp_path / mode, executor, merge_mode=mode, **said
            )
            steps[mode] = float(np.abs(np.diff(all_pixels(store)[0], axis=1)).max())
        assert steps["clip"] == pytest.approx(15 / 31)
        assert steps["weighted_average"] < 0.25 * steps["clip"]


class TestMergingTilesFillsTheDisk:
    """opengeos/segment-geospatial 7, 181."""

    def test_temporary_files_stay_below_a_third_of_the_raster(self, tmp_path, executor):
        scores = blobs(512, 512, 4.0)
        source = cube(tmp_path / "p.zarr", scores[None], bands=["field"], shard=64)
        most = [0]

        def watch(*_):
            most[0] = max(most[0], _unlinked_bytes() + _folder_bytes(tmp_path / "v.parquet"))

        found = polygons(source, tmp_path / "v.parquet", executor, report=watch)
        assert len(found) > 50
        assert 0 < most[0] < scores.nbytes / 3
        rest = [path for path in (tmp_path / "v.parquet").rglob("*") if path.is_file()]
        assert all(path.name.startswith("part-") for path in rest)

    def test_every_pixel_is_covered(self, tmp_path, net, executor):
        pixels = np.random.default_rng(0).random((2, 100, 130)).astype(np.float32)
        pixels[:, 40:60, 30:50] = np.nan
        source = cube(tmp_path / "s.zarr", pixels)
        found = all_pixels(predicted(source, net, tmp_path / "p.zarr", executor))
        np.testing.assert_array_equal(np.isfinite(found[0]), np.isfinite(pixels[0]))


class TestNormalisationOrChipSizeDifferFromTraining:
    """azavea/raster-vision 1549, 1876."""

    def test_the_transform_in_the_file_is_what_runs(self, tmp_path, executor):
        pixels = np.random.default_rng(0).random((2, 60, 60)).astype(np.float32) * 10
        source = cube(tmp_path / "s.zarr", pixels)
        model = load_model(exported(tmp_path / "net.pt2", Net(), transforms=Tenth()))
        found = all_pixels(predicted(source, model, tmp_path / "p.zarr", executor))
        inner = (slice(None), slice(2, -2), slice(2, -2))
        np.testing.assert_allclose(found[inner], one_shot(pixels / 10)[inner], atol=PREDICTED)

    def test_another_chip_size_is_refused_with_both_numbers(self, tmp_path, net, executor):
        source = cube(tmp_path / "s.zarr", np.ones((2, 60, 60), np.float32))
        with pytest.raises(ModelRejected, match=r"32 pixels a side.*patch_size mean 48"):
            predicted(source, net, tmp_path / "p.zarr", executor, patch_size=48)


class Tilted(torch.nn.Module):
    """0 to 1 from the left to the right side of each patch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ramp = torch.linspace(0, 1, x.shape[3], device=x.device)
        return x * 0 + ramp


class peak:  # noqa: N801 - reads as a word in `with`
    """Measures the most memory that numpy and Python held within."""

    def __enter__(self) -> list[int]:
        tracemalloc.start()
        self.found = [0]
        return self.found

    def __exit__(self, *_: object) -> None:
        self.found[0] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


def _unlinked_bytes() -> int:
    """Bytes of this process's open files that have no name: temporary ones."""
    total = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found = descriptor.stat()
        except OSError:
            continue
        if not found.st_nlink:
            total += found.st_size
    return total


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
