"""Tables of places: which rows are read, and how much of the file for them."""

import os
from datetime import UTC, date, datetime

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
from tests.engine.stac_api import serve_files

from landloom.errors import StoreProblem
from landloom.raster.stac.table import read_rows

EVERYWHERE = shapely.box(-180, -90, 180, 90)
HERE = shapely.box(10.2, 0, 10.4, 1)
YEAR = datetime(2021, 1, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC)


def frame(count=40, **columns):
    """Boxes a degree wide, from west to east, one for each degree of longitude."""
    boxes = [shapely.box(lon, 0, lon + 1, 1) for lon in range(count)]
    return gpd.GeoDataFrame({"number": range(count), **columns}, geometry=boxes, crs=4326)


def numbers(rows):
    return [row.columns["number"] for row in rows]


@pytest.mark.parametrize("covering", [True, False])
def test_rows_that_meet_the_place_in_the_files_order(tmp_path, covering):
    path = tmp_path / "places.parquet"
    frame().iloc[::-1].to_parquet(path, write_covering_bbox=covering)
    rows = read_rows(str(path), shapely.union_all([HERE, shapely.box(30.5, 0, 31.5, 1)]))
    assert numbers(rows) == [31, 30, 10]
    assert rows[-1].geometry.normalize() == shapely.box(10, 0, 11, 1).normalize()


def test_the_shape_decides_not_its_box(tmp_path):
    triangle = shapely.Polygon([(0, 0), (10, 0), (0, 10)])
    path = tmp_path / "places.parquet"
    gpd.GeoDataFrame({"number": [1]}, geometry=[triangle], crs=4326).to_parquet(
        path, write_covering_bbox=True
    )
    assert read_rows(str(path), shapely.box(8, 8, 9, 9)) == []


def test_any_crs(tmp_path):
    path = tmp_path / "places.parquet"
    frame().to_crs(3857).to_parquet(path, write_covering_bbox=True)
    (row,) = read_rows(str(path), HERE)
    assert row.geometry.bounds == pytest.approx((10, 0, 11, 1))


def test_a_folder_of_parts_without_what_is_hidden(tmp_path):
    for number, part in enumerate(np.array_split(np.arange(40), 4)):
        frame().iloc[part].to_parquet(tmp_path / f"part-{number}.parquet")
    (tmp_path / "_landloom").mkdir()
    frame().to_parquet(tmp_path / "_landloom" / "more.parquet")
    assert numbers(read_rows(str(tmp_path), EVERYWHERE)) == list(range(40))
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreProblem, match="no GeoParquet"):
        read_rows(str(tmp_path / "empty"), EVERYWHERE)


@pytest.mark.parametrize(
    "times",
    [
        pd.to_datetime(["2020-12-31", "2021-01-01", "2021-12-31", "2022-01-01", None]),
        pd.to_datetime(["2020-12-31", "2021-01-01", "2021-12-31", "2022-01-01", None], utc=True),
        pd.array([2020, 2021, 2021, 2022, None], "Int32"),
        ["text", "is", "left", "to the", "reader"],
    ],
    ids=["naive", "utc", "years", "texts"],
)
def test_rows_within_the_time_or_without_one(tmp_path, times):
    path = tmp_path / "places.parquet"
    frame(5, when=times).to_parquet(path)
    rows = read_rows(str(path), EVERYWHERE, time_column="when", span=YEAR)
    assert numbers(rows) == ([0, 1, 2, 3, 4] if isinstance(times, list) else [1, 2, 4])


def test_dates_count_to_the_day(tmp_path):
    path = tmp_path / "places.parquet"
    days = [date(2020, 12, 31), date(2021, 1, 1), date(2022, 1, 1), date(2022, 1, 2)]
    frame(4, when=days).to_parquet(path)
    assert numbers(read_rows(str(path), EVERYWHERE, time_column="when", span=YEAR)) == [1, 2]


def test_single_precision_means_what_was_written(tmp_path):
    path = tmp_path / "places.parquet"
    frame(2, res=np.array([0.6, np.nan], np.float32)).to_parquet(path)
    first, second = read_rows(str(path), EVERYWHERE)
    assert first.columns["res"] == 0.6
    assert second.columns["res"] is None


@pytest.mark.parametrize("lon", [179.5, -179.5])
def test_what_crosses_the_antimeridian_is_found_from_both_sides(tmp_path, lon):
    path = tmp_path / "places.parquet"
    jumping = shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)])
    gpd.GeoDataFrame({"number": [1]}, geometry=[jumping], crs=4326).to_parquet(path)
    table = pq.read_table(path)
    box = {"xmin": 179.0, "ymin": 0.0, "xmax": -179.0, "ymax": 1.0}
    pq.write_table(table.append_column("bbox", [[box]]), tmp_path / "boxed.parquet")
    for each in (path, tmp_path / "boxed.parquet"):
        (row,) = read_rows(str(each), shapely.box(lon - 0.1, 0.4, lon + 0.1, 0.6))
        assert row.geometry.area == pytest.approx(2)
        assert read_rows(str(each), HERE) == []


def test_over_http_only_the_row_groups_that_fit_are_fetched(tmp_path):
    path = tmp_path / "places.parquet"
    noise = np.random.default_rng(0).integers(0, 255, (40, 100_000), np.uint8)
    frame(blob=[row.tobytes() for row in noise], when=pd.date_range("2021-01-01", periods=40)
    ).to_parquet(path, write_covering_bbox=True, row_group_size=2)  # fmt: skip
    data = path.read_bytes()
    january = YEAR[0], datetime(2021, 1, 3, tzinfo=UTC)
    for place, span, count in [(HERE, None, 1), (EVERYWHERE, january, 2)]:
        sent: list[int] = []
        with serve_files(lambda _: data, sent) as url:
            rows = read_rows(f"{url}/places.parquet", place, time_column="when", span=span)
        assert len(rows) == count
        assert sum(sent) < len(data) / 8


@pytest.mark.parametrize("uri", ["s3://landloom/a/places.parquet", "s3://landloom/a/parts/"])
def test_a_bucket_of_the_platform(tmp_path, monkeypatch, uri):
    frame().to_parquet(tmp_path / "places.parquet", write_covering_bbox=True)
    data = (tmp_path / "places.parquet").read_bytes()
    listing = (
        b"<ListBucketResult><IsTruncated>false</IsTruncated>"
        b"<Contents><Key>a/parts/_SUCCESS</Key><Size>0</Size>"
        b"<LastModified>2023-06-01T10:00:00Z</LastModified></Contents>"
        b"<Contents><Key>a/parts/0.parquet</Key><Size>9</Size>"
        b"<LastModified>2023-06-01T10:00:00Z</LastModified></Contents></ListBucketResult>"
    )
    for name in [name for name in os.environ if name.startswith(("AWS_", "USER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("USER_S3_PATH", "s3://landloom/org/")
    with serve_files(lambda path: data if path.endswith(".parquet") else listing) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert numbers(read_rows(uri, HERE)) == [10]


@pytest.mark.parametrize("text", [b"no Parquet", b""])
def test_another_format_is_named(tmp_path, text):
    path = tmp_path / "places.parquet"
    path.write_bytes(text)
    with pytest.raises(StoreProblem, match=r"places\.parquet as GeoParquet"):
        read_rows(str(path), HERE)


def test_what_is_no_geoparquet_is_told(tmp_path):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "plain.parquet")
    with pytest.raises(StoreProblem, match="no column 'geometry'"):
        read_rows(str(tmp_path / "plain.parquet"), HERE)
    frame().to_parquet(tmp_path / "native.parquet", geometry_encoding="geoarrow")
    with pytest.raises(StoreProblem, match="not as WKB"):
        read_rows(str(tmp_path / "native.parquet"), HERE)
    with pytest.raises(StoreProblem, match=r"gone\.parquet"):
        read_rows(str(tmp_path / "gone.parquet"), HERE)
