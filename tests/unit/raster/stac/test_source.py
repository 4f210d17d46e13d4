"""Where items come from: tables say what the catalogue says that they were made of."""

import json
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest
import shapely
from tests.engine.imagery import CATALOG, SAMPLES, dataset, season, write_tiff
from tests.engine.stac_api import serve_files
from tests.engine.tables import write_stac_geoparquet, write_tile_index

from landloom.errors import CatalogProblem
from landloom.raster.catalog import Band, MaskRule, Source
from landloom.raster.scenes import search_scenes
from landloom.raster.stac.source import find_items, time_of

AREA = shapely.box(13.0, 48.2, 13.3, 48.4)
FLANDERS = shapely.box(4.0, 51.0, 5.0, 51.6)
IN_2023 = datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
IN_2021 = datetime(2021, 1, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC)


def real_items():
    """The items of the samples with hrefs that do not depend on where they lie."""
    items = []
    for path in sorted((SAMPLES / "imagery").rglob("S2_*.json")):
        item = json.loads(path.read_text())
        for asset in item["assets"].values():
            asset["href"] = str((path.parent / asset["href"]).resolve())
        items.append(item)
    return items


@pytest.fixture
def stored(tmp_path):
    return write_stac_geoparquet(tmp_path / "items.parquet", real_items())


class TestStacGeoparquet:
    @pytest.mark.parametrize(
        ("mask", "place", "window"),
        [(("SCL",), FLANDERS, IN_2023), (("CSMASK",), AREA, IN_2021)],
        ids=["flanders", "inn-valley"],
    )
    def test_the_scenes_are_those_of_the_catalogue(self, stored, mask, place, window):
        rules = {"mask": MaskRule(mask, (), (0,)), "max_cloud_cover": 101.0}
        from_table = dataset("", source=Source("stac_geoparquet", str(stored), None), **rules)
        wanted = search_scenes(dataset(CATALOG, **rules), place, *window)
        assert search_scenes(from_table, place, *window) == wanted
        assert len(wanted) == {"SCL": 19, "CSMASK": 2}[mask[0]]

    def test_items_come_back_as_they_were_written(self, stored):
        source = Source("stac_geoparquet", str(stored), None)
        wanted = {item["id"]: item for item in real_items()}
        found = [item for item, _ in find_items(source, FLANDERS, [IN_2023])]
        assert len(found) == 19
        for item in found:
            origin = wanted[item["id"]]
            assert {key: asset["href"] for key, asset in item["assets"].items()} == {
                key: asset["href"] for key, asset in origin["assets"].items()
            }
            assert item["assets"]["B04"] == origin["assets"]["B04"]
            assert item["collection"] == origin["collection"]
            assert shapely.geometry.shape(item["geometry"]).normalize() == (
                shapely.geometry.shape(origin["geometry"]).normalize()
            )
            same = item["properties"].keys() & origin["properties"].keys()
            assert {"eo:cloud_cover", "proj:epsg", "datetime"} <= same
            assert all(
                item["properties"][key] == origin["properties"][key] for key in same - {"datetime"}
            )

    def test_over_http_relative_hrefs_are_relative_to_the_table(self, tmp_path):
        items = real_items()
        for item in items:
            item["links"] = []
            for key, asset in item["assets"].items():
                asset["href"] = f"./{key}.tif"
        data = write_stac_geoparquet(tmp_path / "items.parquet", items).read_bytes()
        with serve_files(lambda _: data) as url:
            source = Source("stac_geoparquet", f"{url}/a/items.parquet", None)
            scenes = search_scenes(dataset("", source=source), AREA, *IN_2021).scenes
            assert {scene.bands[0].href for scene in scenes} == {f"{url}/a/B02.tif"}

    def test_only_the_collection_that_is_named(self, stored):
        found = [
            len(list(find_items(Source("stac_geoparquet", str(stored), name), AREA, [IN_2021])))
            for name in (None, real_items()[0]["collection"], "another")
        ]
        assert found == [2, 2, 0]

    def test_no_season_is_no_search(self, stored):
        source = Source("stac_geoparquet", str(stored), None)
        assert list(find_items(source, AREA, [])) == []


class TestTileIndex:
    BANDS = (Band("red", ("image",), 0), Band("nir", ("image",), 3))

    @pytest.fixture
    def rasters(self, tmp_path):
        rng = np.random.default_rng(0)
        return [
            write_tiff(tmp_path / f"{name}.tif", rng.integers(1, 255, (32, 32)).astype("uint8"))
            for name in "abc"
        ]

    def found(self, path, window=IN_2023, **changes):
        source = Source("gti", str(path), None, "url", changes.pop("time_column", "when"))
        rules = {"bands": self.BANDS, "mask": None, "reducer": "last", **changes}
        return search_scenes(dataset("", source=source, **rules), AREA, *window)

    def test_rows_are_scenes_of_one_asset(self, tmp_path, rasters):
        days = [date(2023, 5, day) for day in (3, 1, 2)]
        path = write_tile_index(tmp_path / "index.parquet", rasters, when=days)
        scenes = self.found(path).scenes
        assert [scene.id for scene in scenes] == [str(rasters[n]) for n in (1, 2, 0)]
        assert [scene.acquired for scene in scenes] == [
            datetime(2023, 5, day, tzinfo=UTC) for day in (1, 2, 3)
        ]
        assert [(band.key, band.band) for band in scenes[0].bands] == [("image", 0), ("image", 3)]

    def test_years_seasons_and_queries_count(self, tmp_path, rasters):
        columns = {"when": [2023, 2023, 2022], "res": [0.3, 0.6, 0.6]}
        path = write_tile_index(tmp_path / "index.parquet", rasters, **columns)
        assert len(self.found(path)) == 2
        assert [each.id for each in self.found(path, query="res == .6").scenes] == [str(rasters[1])]
        assert len(self.found(path, windows=season(100, 200))) == 0

    def test_a_missing_column_is_named_with_those_there_are(self, tmp_path, rasters):
        path = write_tile_index(tmp_path / "index.parquet", rasters, when=[2023] * 3)
        source = Source("gti", str(path), None, time_column="when")
        with pytest.raises(CatalogProblem, match=r"'location'.*there are url, when"):
            list(find_items(source, AREA, [IN_2023]))

    def test_a_row_without_a_time_is_named(self, tmp_path, rasters):
        when = pd.array([2023, None, 2023], "Int64")
        path = write_tile_index(tmp_path / "index.parquet", rasters, when=when)
        with pytest.raises(CatalogProblem, match=r"b\.tif of .* has no time in 'when'"):
            self.found(path)

    def test_readers_pay_where_the_catalogue_says_so(self, tmp_path, rasters):
        path = write_tile_index(tmp_path / "index.parquet", rasters, when=[2023] * 3)
        frame = pd.read_parquet(path)
        frame["url"] = ["s3://naip/a.tif", "/vsis3/naip/b.tif", "https://data.test/c.tif"]
        frame.to_parquet(path)
        source = Source("gti", str(path), None, "url", "when", requester_pays=True)
        rules = {"bands": self.BANDS, "mask": None, "reducer": "last"}
        scenes = search_scenes(dataset("", source=source, **rules), AREA, *IN_2023).scenes
        assert sorted(scene.bands[0].href for scene in scenes) == [
            "https://data.test/c.tif",
            "s3://naip/a.tif?x-amz-request-payer=requester",
            "s3://naip/b.tif?x-amz-request-payer=requester",
        ]


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (2023, datetime(2023, 1, 1, tzinfo=UTC)),
        (date(2023, 5, 1), datetime(2023, 5, 1, tzinfo=UTC)),
        (pd.Timestamp("2023-05-01T10:00"), datetime(2023, 5, 1, 10, tzinfo=UTC)),
        (pd.Timestamp("2023-05-01T12:00+02:00"), datetime(2023, 5, 1, 10, tzinfo=UTC)),
        ("2023-05-01T10:00:00Z", datetime(2023, 5, 1, 10, tzinfo=UTC)),
        ("May", None),
        (20230501, None),
        (None, None),
        (1.5, None),
    ],
)
def test_times_in_every_form(value, moment):
    assert time_of(value) == moment
