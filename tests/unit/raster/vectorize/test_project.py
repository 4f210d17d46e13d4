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

from landloom.raster.store.zarr import CubeStore

UTM_1 = 32601


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


def _declared(output: Path) -> list[str]:
    schema = pq.read_schema(output / "part-00000.parquet")
    found: list[str] = json.loads(schema.metadata[b"geo"])["columns"]["geometry"]["geometry_types"]
    return found
