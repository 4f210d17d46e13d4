"""A folder of part files opens as one table."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pytest
import shapely
from pyproj import CRS

from landloom.errors import StoreProblem
from landloom.raster.store.geoparquet import GeoParquetFolder, bounds_column, part_name


def squares(start: int, count: int) -> dict[str, pa.Array]:
    x = np.arange(start, start + count, dtype=np.float64)
    polygons = shapely.box(x, 0, x + 1, 1, ccw=True)
    return {
        "geometry": pa.array(shapely.to_wkb(polygons)),
        "time": pa.array(np.full(count, np.datetime64("2023-01-01", "us"))),
        "label": pa.repeat("field", count),
        "bbox": bounds_column(shapely.bounds(polygons)),
        "score_mean": pa.array(np.full(count, 0.5)),
    }


@pytest.fixture
def folder(tmp_path: Path) -> GeoParquetFolder:
    return GeoParquetFolder(
        str(tmp_path / "v.parquet"),
        CRS.from_epsg(3857),
        "Polygon",
        (("score_mean", pa.float64()),),
    )


class TestGeoParquetFolder:
    def test_reads_as_one_table_in_the_order_of_its_parts(self, folder: GeoParquetFolder) -> None:
        folder.write_part(1, [squares(5, 2)])
        folder.write_part(0, [squares(0, 3), squares(3, 2)])
        table = gpd.read_parquet(folder.uri)
        assert table.crs.to_epsg() == 3857
        assert table.bounds["minx"].tolist() == [0, 1, 2, 3, 4, 5, 6]
        assert table.columns.tolist() == [
            "geometry",
            "time",
            "label",
            "score_mean",
        ]  # no bbox: it is the covering
        assert table["time"].dt.tz is None

    def test_lets_readers_skip_what_lies_elsewhere(self, folder: GeoParquetFolder) -> None:
        folder.write_part(0, [squares(0, 50)])
        assert len(gpd.read_parquet(folder.uri, bbox=(10.5, 0.2, 11.5, 0.8))) == 2

    def test_an_empty_part_is_a_table_too(self, folder: GeoParquetFolder) -> None:
        folder.write_part(0, [])
        table = gpd.read_parquet(folder.uri)
        assert len(table) == 0
        assert table.crs.to_epsg() == 3857

    def test_forgets_parts_of_an_earlier_larger_run(self, folder: GeoParquetFolder) -> None:
        for number in range(3):
            folder.write_part(number, [squares(number, 1)])
        folder.remove_beyond(1)
        assert [path.name for path in Path(folder.uri).iterdir()] == [part_name(0)]

    def test_says_where_it_could_not_write(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        blocked = GeoParquetFolder(str(tmp_path / "file" / "v"), CRS.from_epsg(4326), "Polygon")
        with pytest.raises(StoreProblem, match=r"Cannot write .*part-00000\.parquet"):
            blocked.write_part(0, [])
