"""What lies where the coordinates of a CRS do not go on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from pyproj import Geod, Transformer
from tests.engine.cubes import cube
from tests.engine.tolerances import AREA_RELATIVE
from tests.engine.vectors import vectors

from landloom.errors import InvalidInput
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize.project import output_crs

UTM_1 = 32601


class TestOutputCrs:
    @pytest.mark.parametrize(
        ("epsg", "words"), [(99999, "no CRS EPSG:99999"), (4978, "Geocentric"), (5773, "Vertical")]
    )
    def test_is_one_of_a_plane(self, epsg, words):
        with pytest.raises(InvalidInput, match=words) as caught:
            output_crs(epsg)
        assert caught.value.field == "target_crs"


class TestAntimeridian:
    """A raster of UTM zone 1 that reaches into longitudes that are written as 179 and more."""

    @pytest.fixture(scope="class")
    @staticmethod
    def source(tmp_path_factory: pytest.TempPathFactory) -> CubeStore:
        east, north = Transformer.from_crs(4326, UTM_1, always_xy=True).transform(-180, 52)
        score = np.zeros((1, 60, 90), np.float32)
        score[0, 10:40, 20:75] = 0.9  # across
        score[0, 20:30, 43:47] = 0.1  # a hole that is cut as well
        score[0, 45:50, 2:9] = 0.9  # west of it
        score[0, 45:50, 80:88] = 0.9  # east of it
        return cube(
            tmp_path_factory.mktemp("zone") / "p.zarr",
            score,
            bands=["field"],
            epsg=UTM_1,
            origin_yx=(-round(north / 10) - 25, round(east / 10) - 45),
        )

    @pytest.mark.parametrize("connectivity", [4, 8])
    def test_cuts_areas(self, source: CubeStore, tmp_path: Path, connectivity: int) -> None:
        output = tmp_path / "v.parquet"
        table = vectors(source, output, epsg=4326, connectivity=connectivity)
        assert len(table) == 3
        assert set(table.geom_type) == {"MultiPolygon"}
        assert _declared(output) == ["MultiPolygon"]
        assert table.is_valid.all()
        parts = table.geometry.explode()
        assert len(parts) == 4
        assert (parts.bounds["maxx"] - parts.bounds["minx"] < 0.02).all()
        assert all(part.exterior.is_ccw for part in parts)
        utm = vectors(source, tmp_path / "u.parquet")
        ground = Geod(ellps="WGS84")
        size = sum(ground.geometry_area_perimeter(part)[0] for part in parts)
        lon_lat = utm.geometry.to_crs(4326)  # one long way round, which a geodesic does not go
        wanted = sum(ground.geometry_area_perimeter(shape)[0] for shape in lon_lat)
        assert size == pytest.approx(wanted, rel=AREA_RELATIVE)

    def test_cuts_lines(self, source: CubeStore, tmp_path: Path) -> None:
        output = tmp_path / "v.parquet"
        table = vectors(source, output, epsg=4326, medial_skeletonize=True)
        assert "MultiLineString" in set(table.geom_type)
        assert _declared(output) == []
        parts = table.geometry.explode()
        assert (parts.bounds["maxx"] - parts.bounds["minx"] < 0.02).all()

    def test_leaves_other_coordinates_alone(self, source: CubeStore, tmp_path: Path) -> None:
        table = vectors(source, tmp_path / "v.parquet")
        assert set(table.geom_type) == {"Polygon"}
        assert shapely.is_valid(table.geometry.values).all()


class TestPoles:
    """Rasters with a pole amid them: areas round it, through it, beside it."""

    POLES = {3031: (0, 0), 3413: (0, 0), 32661: (2e6, 2e6)}
    """Where the pole lies, by EPSG code: easting and northing."""
    PIXEL = 100

    @classmethod
    def source(cls, folder: Path, epsg: int) -> CubeStore:
        """Return a raster of 60 px a side; the pole is the corner of four pixels."""
        score = np.zeros((6, 60, 60), np.float32)
        score[0, 10:50, 10:50] = 0.9  # round it
        score[1, 5:55, 5:55] = 0.9
        score[1, 20:42, 18:44] = 0.1  # a hole round it
        score[2, 30:50, 30:45] = 0.9  # a corner in it
        score[3, 12:50, 30:52] = 0.9  # an edge through it
        score[4, 10:50, 10:50] = 0.9
        score[4, 30:60, 30:60] = 0.1  # three quarters of what is round it
        score[5, 2:50, 3:8] = 0.9  # beside it
        east, north = (round(place / cls.PIXEL) for place in cls.POLES[epsg])
        bands = ["round", "hole", "corner", "edge", "most", "beside"]
        return cube(
            folder / "p.zarr",
            score,
            bands=bands,
            epsg=epsg,
            resolution=cls.PIXEL,
            origin_yx=(-north - 30, east - 30),
        )

    @staticmethod
    def size(shape: shapely.Polygon, epsg: int) -> float:
        """Return the area on the ellipsoid of a shape that is straight in a CRS."""
        lon_lat = Transformer.from_crs(epsg, 4326, always_xy=True).transform
        fine = shapely.segmentize(shape, 3)
        earth = Geod(ellps="WGS84")
        rings = [fine.exterior, *fine.interiors]
        sizes = [
            abs(earth.polygon_area_perimeter(*lon_lat(*np.array(ring.coords).T))[0])
            for ring in rings
        ]
        return sizes[0] - sum(sizes[1:])

    @pytest.mark.parametrize("epsg", POLES)
    def test_areas_are_those_of_the_pixels_in_any_crs(self, tmp_path: Path, epsg: int) -> None:
        source = self.source(tmp_path, epsg)
        native = vectors(source, tmp_path / "n.parquet", features=source.bands, epsg=epsg)
        said = {"features": source.bands, "fiboa": True}
        for code in (epsg, 4326):
            table = vectors(source, tmp_path / f"{code}.parquet", epsg=code, **said)
            assert list(table.label) == list(native.label)
            wanted = [self.size(shape, epsg) for shape in native.geometry]
            assert list(table["area"] * 1e4) == pytest.approx(wanted, rel=1e-4)

    @pytest.mark.parametrize("epsg", POLES)
    def test_limits_are_held_against_them(self, tmp_path: Path, epsg: int) -> None:
        source = self.source(tmp_path, epsg)
        table = vectors(
            source, tmp_path / "v.parquet", features=source.bands, epsg=epsg, min_area_m2=1e7,
            max_area_m2=1.8e7, close_holes=4e6,
        )  # fmt: skip
        assert set(table.label) == {"round", "most"}

    @pytest.mark.parametrize("epsg", POLES)
    @pytest.mark.parametrize("lines", [False, True])
    def test_degrees_tell_what_is_inside(self, tmp_path: Path, epsg: int, *, lines: bool) -> None:
        source = self.source(tmp_path, epsg)
        native = vectors(
            source, tmp_path / "n.parquet", features=source.bands, epsg=epsg,
            medial_skeletonize=lines,
        )  # fmt: skip
        table = vectors(
            source, tmp_path / "d.parquet", features=source.bands, epsg=4326,
            medial_skeletonize=lines,
        )  # fmt: skip
        tiled = vectors(
            source, tmp_path / "t.parquet", features=source.bands, epsg=4326, tile_size=13,
            medial_skeletonize=lines,
        )  # fmt: skip
        assert table.equals(tiled)
        assert table.is_valid.all()
        box = np.array(source.geobox.extent.boundingbox)
        points = np.random.default_rng(5).uniform(box[:2], box[2:], (400, 2))
        degrees = Transformer.from_crs(epsg, 4326, always_xy=True).transform(*points.T)
        for shape, there in zip(native.geometry, table.geometry, strict=True):
            if lines:
                xy = shapely.get_coordinates(shapely.segmentize(there, 0.05))
                back = Transformer.from_crs(4326, epsg, always_xy=True).transform(*xy.T)
                assert shapely.distance(shape, shapely.points(*back)).max() < 0.2
                continue
            clear = shapely.distance(shape.boundary, shapely.points(points)) > 1
            inside = shapely.contains_xy(there, *degrees)
            assert (inside == shapely.contains_xy(shape, *points.T))[clear].all()


def _declared(output: Path) -> list[str]:
    schema = pq.read_schema(output / "part-00000.parquet")
    found: list[str] = json.loads(schema.metadata[b"geo"])["columns"]["geometry"]["geometry_types"]
    return found
