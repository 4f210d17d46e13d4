"""What is done to whole areas: any tiling, worker count or start gives the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from pyproj import Geod
from tests.engine.cubes import cube
from tests.engine.tolerances import (
    AREA_RELATIVE,
    FLOAT_SUM_RELATIVE,
    GEODESIC_AREA_M2,
    PERIMETER_RELATIVE,
)
from tests.engine.vectors import field_scores, vectors

from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize import watershed

BANDS = ["ground", "field", "edge"]
ALL = ("ground", "field", "edge")


@pytest.fixture(scope="module")
def scores() -> NDArray[np.float32]:
    return field_scores()


@pytest.fixture(scope="module")
def prediction(scores: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> CubeStore:
    return cube(tmp_path_factory.mktemp("prediction") / "p.zarr", scores, bands=BANDS)


OPTIONS: dict[str, dict[str, Any]] = {
    "simplify": {"simplify": 12, "stats": True},
    "simplify-8": {"simplify": 25, "connectivity": 8},
    "areas": {"min_area_m2": 900, "max_area_m2": 9000, "close_holes": 500, "fiboa": True},
    "lines": {"medial_skeletonize": True, "stats": True, "simplify": 10},
    "watershed": {"watershed": {"depth": 4}, "stats": True},
    "watershed-by-score": {"watershed": {"surface": "score", "depth": 0.2}, "max_area_m2": 5000},
    "watershed-simplify": {"watershed": True, "simplify": 15, "fiboa": True},
}


class TestAnyTiling:
    @pytest.mark.parametrize("name", OPTIONS)
    def test_gives_the_same_rows(self, prediction: CubeStore, tmp_path: Path, name: str) -> None:
        found = [
            vectors(
                prediction, tmp_path / f"{size}.parquet",
                features=ALL, tile_size=size, workers=workers, **OPTIONS[name],
            )
            for size, workers in ((1000, 1), (17, 2), (64, 3))
        ]  # fmt: skip
        assert len(found[0])
        assert found[0].equals(found[1])
        assert found[0].equals(found[2])
        assert found[0].is_valid.all()


class TestSimplify:
    @pytest.mark.parametrize("tolerance", [5, 12, 40, 200])
    def test_leaves_no_gap_and_no_overlap_between_neighbours(
        self, prediction: CubeStore, tmp_path: Path, tolerance: float
    ) -> None:
        exact = vectors(prediction, tmp_path / "e.parquet", features=ALL)
        table = vectors(prediction, tmp_path / "s.parquet", features=ALL, simplify=tolerance)
        assert len(table) == len(exact)
        assert table.is_valid.all()
        assert (table.area > 0).all()
        assert shapely.coverage_is_valid(table.geometry.values)
        # Every pixel is of some class, so together they are one area without a hole.
        together = shapely.union_all(table.geometry.values)
        assert len(together.interiors) == 0
        assert together.area == pytest.approx(table.area.sum(), rel=FLOAT_SUM_RELATIVE)
        assert together.area == pytest.approx(150 * 131 * 100, rel=0.01)  # the raster's corners
        if tolerance > 10:
            assert table.count_coordinates().sum() < exact.count_coordinates().sum()

    def test_moves_nothing_further_than_the_tolerance(
        self, prediction: CubeStore, tmp_path: Path
    ) -> None:
        exact = vectors(prediction, tmp_path / "e.parquet", features=ALL)
        table = vectors(prediction, tmp_path / "s.parquet", features=ALL, simplify=15)
        moved = shapely.hausdorff_distance(
            shapely.union_all(shapely.boundary(exact.geometry.values)),
            shapely.union_all(shapely.boundary(table.geometry.values)),
        )
        assert 10 < moved <= 15.1  # the ground is not quite the projection

    def test_of_noise_is_a_valid_coverage(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(8).random((60, 270)).astype(np.float32)
        source = cube(tmp_path / "p.zarr", np.stack([noise, 1 - noise]), bands=["field", "edge"])
        table = vectors(
            source, tmp_path / "v.parquet", features=("field", "edge"), simplify=50, tile_size=50
        )
        assert table.is_valid.all()
        assert shapely.coverage_is_valid(table.geometry.values)
        together = shapely.union_all(table.geometry.values)
        assert together.area == pytest.approx(table.area.sum(), rel=FLOAT_SUM_RELATIVE)

    def test_of_a_smooth_outline_drops_most_corners(self, tmp_path: Path) -> None:
        y, x = np.mgrid[:300, :300] - 150.0
        disc = (y**2 + x**2 < 120**2).astype(np.float32)
        source = cube(tmp_path / "p.zarr", disc[None], bands=["field"])
        exact = vectors(source, tmp_path / "e.parquet")
        table = vectors(source, tmp_path / "s.parquet", simplify=12)
        assert table.count_coordinates().sum() < 0.25 * exact.count_coordinates().sum()
        assert table.area.sum() == pytest.approx(exact.area.sum(), rel=0.01)


class TestAreas:
    def test_are_judged_on_the_ellipsoid(self, prediction: CubeStore, tmp_path: Path) -> None:
        every = vectors(prediction, tmp_path / "e.parquet", epsg=4326)
        size = every.geometry.map(lambda shape: abs(_geodesic(shape)))
        low, high = size.quantile([0.3, 0.8])
        table = vectors(
            prediction, tmp_path / "v.parquet", epsg=4326,
            min_area_m2=low + 1, max_area_m2=high + 1,
        )  # fmt: skip
        wanted = every[(size >= low + 1) & (size <= high + 1)]
        assert table.geometry.geom_equals(wanted.geometry.reset_index(drop=True)).all()

    def test_and_perimeters_are_told_to_fiboa_in_hectares_and_metres(
        self, prediction: CubeStore, tmp_path: Path
    ) -> None:
        table = vectors(prediction, tmp_path / "v.parquet", epsg=4326, fiboa=True, simplify=20)
        size = table.geometry.map(lambda shape: abs(_geodesic(shape)))
        earth = Geod(ellps="WGS84")
        length = table.boundary.map(earth.geometry_length)
        np.testing.assert_allclose(
            table["area"] * 10_000, size, rtol=AREA_RELATIVE, atol=GEODESIC_AREA_M2
        )
        np.testing.assert_allclose(table["perimeter"], length, rtol=PERIMETER_RELATIVE)
        assert table["id"].is_unique
        assert set(table["determination_method"]) == {"auto-imagery"}
        assert str(table["determination_datetime"].dt.tz) == "UTC"

    def test_holes_are_closed_up_to_a_size(self, tmp_path: Path) -> None:
        field = np.zeros((30, 30), np.float32)
        field[2:28, 2:28] = 1
        field[5:7, 5:7] = field[10:20, 10:20] = 0
        source = cube(tmp_path / "p.zarr", field[None], bands=["field"])
        holes = {
            said: len(vectors(source, tmp_path / f"{said}.parquet", close_holes=said,
                              tile_size=8).geometry[0].interiors)
            for said in (False, 500, True)
        }  # fmt: skip
        assert holes == {False: 2, 500: 1, True: 0}


def _geodesic(shape: shapely.Polygon) -> float:
    area, _ = Geod(ellps="WGS84").geometry_area_perimeter(shape)
    return float(area)


class TestCentreLines:
    def test_of_roads_meet_where_roads_do(self, tmp_path: Path) -> None:
        roads = np.zeros((101, 101), np.float32)
        roads[48:53, 5:96] = 1
        roads[5:96, 48:53] = 1
        source = cube(tmp_path / "p.zarr", roads[None], bands=["field"])
        table = vectors(source, tmp_path / "v.parquet", medial_skeletonize=True, simplify=15)
        assert set(table.geom_type) == {"LineString"}
        middle = shapely.union_all(table.geometry.values)
        assert len(shapely.get_parts(shapely.line_merge(middle))) == 4
        area = vectors(source, tmp_path / "a.parquet").geometry[0]
        assert area.contains(middle)
        assert middle.length == pytest.approx(4 * 430, rel=0.05)

    def test_of_a_ring_smaller_than_the_tolerance_stay_lines(self, tmp_path: Path) -> None:
        scores = np.zeros((1, 30, 40), np.float32)
        scores[0, 5:14, 5:14] = 1
        scores[0, 8:11, 8:11] = 0
        source = cube(tmp_path / "p.zarr", scores, bands=["field"])
        lines = vectors(source, tmp_path / "v.parquet", medial_skeletonize=True, simplify=500)
        assert len(lines) > 0
        assert lines.is_valid.all()
        assert (lines.length >= 50).all()

    def test_of_a_ring_are_closed(self, tmp_path: Path) -> None:
        y, x = np.mgrid[:80, :80] - 40.0
        radius = np.hypot(y, x)
        ring = ((radius > 20) & (radius < 25)).astype(np.float32)
        source = cube(tmp_path / "p.zarr", ring[None], bands=["field"])
        table = vectors(source, tmp_path / "v.parquet", medial_skeletonize=True)
        assert len(table) == 1
        assert table.geometry[0].is_ring


class TestWatershed:
    @pytest.fixture(scope="class")
    @staticmethod
    def touching(tmp_path_factory: pytest.TempPathFactory) -> CubeStore:
        """Two discs that run together at a narrow waist."""
        y, x = np.mgrid[:60, :100] + 0.5
        near = np.minimum(np.hypot(y - 30, x - 30), np.hypot(y - 30, x - 68))
        score = np.where(near < 21, 0.95 - near / 100, 0.1).astype(np.float32)
        folder = tmp_path_factory.mktemp("touching")
        return cube(folder / "p.zarr", score[None], bands=["field"])

    @pytest.mark.parametrize("surface", ["distance", "score"])
    def test_splits_at_the_waist(self, touching: CubeStore, tmp_path: Path, surface: str) -> None:
        assert len(vectors(touching, tmp_path / "1.parquet")) == 1
        depth = {"distance": 30, "score": 0.05}[surface]
        said = {"surface": surface, "depth": depth}
        table = vectors(touching, tmp_path / "2.parquet", watershed=said, stats=True)
        assert len(table) == 2
        left, right = sorted(table.area)
        assert right / left < 1.1
        assert (table["score_count"] * 100 == table.area).all()
        assert shapely.union_all(table.geometry.values).area == table.area.sum()

    def test_keeps_what_has_no_waist_of_that_depth(
        self, touching: CubeStore, tmp_path: Path
    ) -> None:
        table = vectors(touching, tmp_path / "v.parquet", watershed={"depth": 500})
        assert len(table) == 1

    def test_comes_before_the_largest_area_is_asked_for(
        self, touching: CubeStore, tmp_path: Path
    ) -> None:
        largest = {"max_area_m2": 150_000}
        assert len(vectors(touching, tmp_path / "1.parquet", **largest)) == 0
        split: gpd.GeoDataFrame = vectors(
            touching, tmp_path / "2.parquet", watershed={"depth": 30}, **largest
        )
        assert len(split) == 2

    def test_tells_of_areas_that_are_too_large_to_be_split(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        score = np.full((40, 90), 0.1, np.float32)
        score[2:12, 2:12] = score[2:38, 20:80] = 0.9
        source = cube(tmp_path / "p.zarr", score[None], bands=["field"])
        monkeypatch.setattr(watershed, "LARGEST_WINDOW", 36 * 60 - 1)
        warned: list[tuple[str, str]] = []
        table = vectors(
            source,
            tmp_path / "v.parquet",
            watershed=True,
            warn=lambda stage, message: warned.append((stage, message)),
        )
        assert len(table) == 2
        [(stage, message)] = warned
        assert stage == "vectorize"
        assert "1 of 2 areas" in message
        monkeypatch.setattr(watershed, "LARGEST_WINDOW", 36 * 60)
        vectors(source, tmp_path / "w.parquet", watershed=True, warn=pytest.fail)
