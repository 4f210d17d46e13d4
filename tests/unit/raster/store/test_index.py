"""The mosaic index."""

from datetime import UTC, datetime

import geopandas as gpd
import pytest
import shapely

from landloom.errors import StoreProblem
from landloom.raster.store.index import read_index, write_index
from landloom.wire.results import MosaicRow

ROWS = [
    MosaicRow(
        location=f"s3://b/{name}.zarr", crs="EPSG:3857", shape_yx=(3, 4), bbox=(0, 1, 2, 3),
        bands=["a:B02", "b"], valid_fraction=fraction,
    )
    for name, fraction in [("x", 0.5), ("y", None)]
]  # fmt: skip


def test_rows_come_back_in_order(tmp_path):
    uri = str(tmp_path / "index.parquet")
    areas = [shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)]
    write_index(uri, ROWS, areas, datasets=["S2"], start=datetime(2023, 1, 1, tzinfo=UTC))
    assert read_index(uri) == ROWS
    frame = gpd.read_parquet(uri)
    assert frame.crs.to_epsg() == 4326
    assert frame["location"].tolist() == ["s3://b/x.zarr", "s3://b/y.zarr"]
    assert list(frame.geometry) == areas
    assert str(frame["start"][0]) == "2023-01-01 00:00:00+00:00"


def test_an_index_by_others_needs_no_more_than_locations(tmp_path):
    path = tmp_path / "theirs.parquet"
    gpd.GeoDataFrame(
        {"location": ["s3://b/x.zarr"]}, geometry=[shapely.box(0, 0, 1, 1)], crs=4326
    ).to_parquet(path)
    (row,) = read_index(str(path))
    assert row.location == "s3://b/x.zarr"
    assert row.bbox == (0, 0, 1, 1)


def test_what_is_no_index_is_refused(tmp_path):
    path = tmp_path / "other.parquet"
    gpd.GeoDataFrame({"name": ["x"]}, geometry=[shapely.Point(0, 0)], crs=4326).to_parquet(path)
    with pytest.raises(StoreProblem, match="not a mosaic index"):
        read_index(str(path))
