"""Scene search: a STAC API and static catalogues, seasons, clouds, caps."""

import copy
from datetime import UTC, datetime

import pytest
import shapely
from tests.engine.imagery import CATALOG, dataset, season, write_items
from tests.engine.stac_api import StacApi, serve

from landloom.errors import CatalogProblem, StoreProblem, Unavailable
from landloom.raster.catalog import load_catalog
from landloom.raster.catalog.dataset import Source
from landloom.raster.scenes import SceneTable, search_scenes, time_steps

AREA = shapely.box(13.0, 48.2, 13.3, 48.4)
YEAR = (datetime(2023, 1, 1), datetime(2024, 1, 1))  # noqa: DTZ001 - users pass naive datetimes
COMMON = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "SCL": "scl"}


def earth_search(name, when, **properties):
    """An item in the shape of Earth Search v1: common names as keys, JPEG 2000 twins."""
    assets = {}
    for label, common in COMMON.items():
        bands = [{"name": common, "common_name": common}] if common != "scl" else []
        assets[f"{common}-jp2"] = {"href": f"{label}.jp2", "type": "image/jp2", "eo:bands": bands}
        assets[common] = {
            "href": f"https://data.test/{name}/{label}.tif", "eo:bands": bands,
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "raster:bands": [{"nodata": 0, "scale": 0.0001, "offset": -0.1}],
        }  # fmt: skip
    return _item(name, when, assets, properties)


def bands_by_number(name, when, **properties):
    """An item in the shape of STAC 1.1 with B02… keys and facts under `bands`."""
    assets = {
        label: {
            "href": f"./{label}.tif", "type": "image/tiff", "nodata": 0,
            "bands": [{"name": label, "eo:common_name": common}],
        }
        for label, common in COMMON.items()
    }  # fmt: skip
    return _item(name, when, assets, properties)


def _item(name, when, assets, properties):
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "sentinel-2-l2a",
        "geometry": shapely.geometry.mapping(AREA), "bbox": AREA.bounds, "assets": assets,
        "links": [{"rel": "self", "href": f"https://data.test/items/{name}.json"}],
        "properties": {"datetime": when, "eo:cloud_cover": 10.0, "grid:code": "MGRS-33UUP"}
        | properties,
    }  # fmt: skip


def planting(source):
    built_in = load_catalog().dataset("S2_MED_PLANTING")
    return type(built_in)(
        **{name: getattr(built_in, name) for name in built_in.__slots__} | {"source": source}
    )


def names(table):
    return [scene.id for scene in table.scenes]


class TestStacApi:
    @pytest.fixture(params=[earth_search, bands_by_number], ids=["earth-search", "B02"])
    def api(self, request):
        shape = request.param
        items = [
            shape("b", "2023-05-02T10:00:00Z"),
            shape("a", "2023-05-01T10:00:00Z"),
            shape("cloudy", "2023-05-03T10:00:00Z", **{"eo:cloud_cover": 75.0}),
            shape("early", "2023-03-31T23:00:00Z"),
            shape("last", "2023-05-31T10:00:00Z"),
            shape("late", "2023-06-01T00:00:00Z"),
        ]
        with serve(StacApi(items)) as server:
            yield server

    def search(self, api):
        return search_scenes(planting(Source("stac_api", api.url, "sentinel-2-l2a")), AREA, *YEAR)

    def test_finds_the_season_by_pages_in_order_of_time(self, api):
        table = self.search(api)
        assert names(table) == ["a", "b", "last"]
        assert table.found == 4
        assert len(api.searches) == 3

    def test_assets_are_matched_by_key_or_common_name(self, api):
        (scene, *_) = self.search(api).scenes
        hrefs = [band.href for band in scene.bands]
        assert [href.rsplit("/", 1)[1] for href in hrefs] == [
            "B02.tif", "B03.tif", "B04.tif", "B08.tif",
        ]  # fmt: skip
        assert scene.mask.href.endswith("/SCL.tif")
        assert all(href.startswith("https://data.test/") for href in hrefs)
        assert {band.nodata for band in scene.bands} == {0.0}

    def test_goes_on_after_an_answer_503(self, api):
        api.failures[:] = [503, 503]
        assert names(self.search(api)) == ["a", "b", "last"]

    def test_a_refusal_is_reported_with_the_address(self, api):
        api.failures[:] = [400] * 10
        with pytest.raises(Unavailable, match=api.url):
            self.search(api)


class TestStaticCatalog:
    def test_links_are_walked_and_hrefs_resolved(self):
        found = search_scenes(
            dataset(CATALOG, windows=season(150, 180)), AREA,
            datetime(2021, 1, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC),
        )  # fmt: skip
        assert names(found) == ["S2_33UUP_20210617_inn-valley"]
        href = found.scenes[0].bands[0].href
        assert href == str(CATALOG.parent / "sentinel-2/inn-valley/2021-06-17/B02.tif")

    def test_no_scenes_is_an_empty_table(self):
        elsewhere = shapely.box(-60, -30, -59, -29)
        assert len(search_scenes(dataset(CATALOG), elsewhere, *YEAR)) == 0

    def test_a_missing_catalog_is_named(self, tmp_path):
        with pytest.raises(StoreProblem, match=r"gone\.json"):
            search_scenes(dataset(tmp_path / "gone.json"), AREA, *YEAR)

    def test_an_item_without_a_band_is_named(self, tmp_path):
        broken = bands_by_number("torn", "2023-05-01T10:00:00Z")
        del broken["assets"]["B04"]
        path = write_items(tmp_path / "items.json", [broken])
        with pytest.raises(CatalogProblem, match=r"asset red or B04, of .* torn"):
            search_scenes(planting(Source("static", str(path), None)), AREA, *YEAR)


class TestRules:
    def found(self, tmp_path, items, **changes):
        path = write_items(tmp_path / "items.json", items)
        rules = {"mask": None, "windows": season(91, 151), **changes}
        return search_scenes(dataset(path, **rules), AREA, *YEAR)

    def test_the_cap_takes_the_least_cloudy_of_each_tile(self, tmp_path):
        items = [
            bands_by_number(
                f"{tile}{day}", f"2023-05-{day:02d}T10:00:00Z",
                **{"eo:cloud_cover": float(50 - day), "grid:code": f"MGRS-33UU{tile}"},
            )
            for tile in "PQ"
            for day in (1, 2, 3)
        ]  # fmt: skip
        assert names(self.found(tmp_path, items, max_scenes=2)) == ["P2", "Q2", "P3", "Q3"]

    def test_the_newest_processing_of_an_acquisition_stays(self, tmp_path):
        items = [bands_by_number(f"S2_{n}_L2A", "2023-05-01T10:00:00Z") for n in (1, 0)]
        assert names(self.found(tmp_path, items)) == ["S2_1_L2A"]

    def test_order_does_not_depend_on_the_catalog(self, tmp_path):
        items = [bands_by_number(name, f"2023-05-0{day}T10:00:00Z") for name, day in
                 [("c", 2), ("a", 3), ("b", 1)]]  # fmt: skip
        forward = self.found(tmp_path, items)
        assert forward == self.found(tmp_path, items[::-1])
        assert names(forward) == ["b", "c", "a"]

    def test_the_latitude_is_that_of_the_tile_not_of_the_swath(self, tmp_path):
        item = bands_by_number("a", "2023-05-01T10:00:00Z", **{"proj:epsg": 32633})
        grid = {"proj:shape": [10980, 10980], "proj:transform": [10, 0, 3e5, 0, -10, 5.0e6]}
        item["assets"]["B02"].update(grid)
        (scene,) = self.found(tmp_path, [item]).scenes
        assert scene.latitude == pytest.approx(44.62, abs=0.1)

    @pytest.mark.parametrize(
        ("properties", "offset"),
        [
            ({"s2:processing_baseline": "05.09"}, -1000.0),
            ({"s2:processing_baseline": "04.00"}, -1000.0),
            ({"s2:processing_baseline": "03.01"}, 0.0),
            ({"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}, 0.0),
            ({"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": False}, -1000.0),
            ({"processing:version": "05.10"}, -1000.0),
            ({}, 0.0),
        ],
    )
    def test_numbers_are_brought_to_the_scale_before_2022(self, tmp_path, properties, offset):
        items = [bands_by_number("a", "2023-05-01T10:00:00Z", **properties)]
        (scene,) = self.found(tmp_path, items, radiometry="sentinel2_l2a").scenes
        assert {band.offset for band in scene.bands} == {offset}

    def test_without_a_baseline_the_band_offset_speaks(self, tmp_path):
        item = earth_search("a", "2023-05-01T10:00:00Z")
        bands = tuple(type(band)(band.label, (COMMON[band.label],)) for band in dataset("x").bands)
        (scene,) = self.found(tmp_path, [item], radiometry="sentinel2_l2a", bands=bands).scenes
        assert {band.offset for band in scene.bands} == {-1000.0}

    def test_the_band_offset_may_stand_on_the_asset(self, tmp_path):
        item = bands_by_number("a", "2023-05-01T10:00:00Z")
        for asset in item["assets"].values():
            asset |= {"raster:scale": 0.0001, "raster:offset": -0.1}
        (scene,) = self.found(tmp_path, [item], radiometry="sentinel2_l2a").scenes
        assert {(band.offset, band.nodata) for band in scene.bands} == {(-1000.0, 0.0)}

    def test_a_table_goes_through_json(self, tmp_path):
        table = self.found(tmp_path, [bands_by_number("a", "2023-05-01T10:00:00.123Z")])
        assert SceneTable.from_json(copy.deepcopy(table.to_json())) == table


class TestTimeSteps:
    def test_one_step_a_year_from_the_start(self):
        steps = time_steps(datetime(2023, 3, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
        assert [(low.date().isoformat(), high.date().isoformat()) for low, high in steps] == [
            ("2023-03-01", "2024-03-01"), ("2024-03-01", "2025-01-01"),
        ]  # fmt: skip

    def test_a_leap_day_goes_on(self):
        steps = time_steps(datetime(2024, 2, 29, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
        assert steps[1][0] == datetime(2025, 3, 1, tzinfo=UTC)
