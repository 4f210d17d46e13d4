"""Relocated scenes: valid STAC, in season, cloudy but never blind, in every zone of the area."""

import hashlib
import importlib.util
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import shapely

from landloom.raster.catalog.catalog import load_catalog
from landloom.raster.scenes import search_scenes

SAMPLES = Path(__file__).parents[3] / "samples"
MASKED = (0, 1, 3, 7, 8, 9, 10)
YEAR = datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
PLAIN = shapely.box(-101.05, 37.5, -101.02, 37.52)
"""About 3 km by 2 km of Kansas, within zone 14."""

BORDER = shapely.box(-102.03, 37.5, -101.98, 37.53)
"""Half in zone 13, half in zone 14."""


@pytest.fixture(scope="module")
def maker():
    sys.path.insert(0, str(SAMPLES))
    try:
        path = SAMPLES / "county_scenes.py"
        spec = importlib.util.spec_from_file_location("county_scenes", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(SAMPLES))


@pytest.fixture(scope="module")
def make(maker, tmp_path_factory):
    def make(geometry, **options):
        folder = tmp_path_factory.mktemp("county")
        aoi = folder / "aoi.geojson"
        feature = {"type": "Feature", "properties": {}, "geometry": geometry.__geo_interface__}
        aoi.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
        maker.make_scenes(aoi, folder / "out", **options)
        return folder / "out"

    return make


@pytest.fixture(scope="module")
def plain(make):
    return make(PLAIN)


def items_of(out):
    root = pystac.Catalog.from_file(str(out / "stac" / "catalog.json"))
    return list(root.get_items(recursive=True))


def in_season(items, season):
    first, last = {"planting": (60, 120), "harvest": (213, 304)}[season]
    return [item for item in items if first <= item.datetime.timetuple().tm_yday <= last]


def classes_of(item):
    with rasterio.open(item.assets["scl"].get_absolute_href()) as file:
        return file.read(1)


class TestScenes:
    @pytest.mark.parametrize("season", ["planting", "harvest"])
    def test_each_season_has_six(self, plain, season):
        scenes = in_season(items_of(plain), season)
        assert len(scenes) == 6
        assert {item.datetime.year for item in scenes} == {2023}
        assert len({item.datetime for item in scenes}) == 6

    @pytest.mark.parametrize("season", ["planting", "harvest"])
    def test_every_pixel_is_clear_twice(self, plain, season):
        scenes = in_season(items_of(plain), season)
        clear = sum(~np.isin(classes_of(item), MASKED) for item in scenes)
        assert clear.min() >= 2
        assert clear.max() >= 4

    def test_clouds_cover_what_the_items_say(self, plain):
        for item in items_of(plain):
            cover = np.isin(classes_of(item), (8, 9, 10)).mean()
            assert 0.10 <= cover <= 0.60
            assert item.properties["eo:cloud_cover"] == pytest.approx(cover * 100, abs=0.01)

    def test_say_that_they_are_relocated(self, plain):
        for item in items_of(plain):
            assert item.properties["landloom:relocated"] is True
            assert item.properties["description"].startswith("RELOCATED")

    def test_show_the_valley_where_it_is_clear_and_white_where_it_is_not(self, plain):
        seen = []
        for item in in_season(items_of(plain), "planting"):
            with rasterio.open(item.assets["blue"].get_absolute_href()) as file:
                blue = file.read(1).astype(np.float32)
            fine = classes_of(item).repeat(2, axis=0).repeat(2, axis=1)
            if (fine == 9).any():
                assert blue[fine == 9].mean() > 4 * blue[fine == 4].mean()
            blue[np.isin(fine, MASKED)] = np.nan
            seen.append(blue)
        spread = np.nanmax(seen, axis=0) / np.nanmin(seen, axis=0)
        # Small differences between the dates, but differences.
        assert 1.0 < np.nanmedian(spread) < 1.12

    def test_are_blocks_of_512_deflated_with_a_predictor(self, plain):
        for asset, pixel in (("red", 10), ("scl", 20)):
            with rasterio.open(items_of(plain)[0].assets[asset].get_absolute_href()) as file:
                assert file.block_shapes == [(512, 512)]
                assert file.res == (pixel, pixel)
                assert file.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
                assert file.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
                assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"

    def test_follow_from_the_seed(self, make, plain):
        assert digests(make(PLAIN)) == digests(plain)
        assert digests(make(PLAIN, seed=1)) != digests(plain)


class TestCatalog:
    def test_the_datasets_find_the_scenes_and_the_rule_answers_for_ftw(self, plain):
        catalog = load_catalog(plain / "catalog.toml")
        for name in ("S2_MED_PLANTING", "S2_MED_HARVEST"):
            found = search_scenes(catalog.dataset(name), PLAIN, *YEAR)
            assert len(found) == 6
            assert all(asset.offset == 0 for scene in found.scenes for asset in scene.bands)
        assert catalog.recipe("FTW").model.href.endswith("samples/models/fields.pt2")
        assert catalog.recipe("FTW").datasets == ("S2_MED_PLANTING", "S2_MED_HARVEST")

    def test_covers_the_whole_area(self, plain):
        for item in items_of(plain):
            assert shapely.geometry.shape(item.geometry).contains(PLAIN)


class TestZones:
    def test_an_area_on_a_border_has_scenes_in_both(self, make):
        items = items_of(make(BORDER))
        by_zone = {}
        for item in items:
            by_zone.setdefault(item.properties["proj:code"], []).append(item)
        assert {zone: len(found) for zone, found in by_zone.items()} == {
            "EPSG:32613": 12,
            "EPSG:32614": 12,
        }
        footprint = shapely.union_all([shapely.geometry.shape(item.geometry) for item in items])
        assert footprint.contains(BORDER)

    def test_southern_areas_have_southern_zones_and_seasons(self, make):
        items = items_of(make(shapely.box(26.0, -29.0, 26.02, -28.98)))
        assert {item.properties["proj:code"] for item in items} == {"EPSG:32735"}
        days = sorted(item.datetime.timetuple().tm_yday for item in items)
        assert all(32 <= day <= 120 for day in days[:6])
        assert all(244 <= day <= 334 for day in days[6:])

    def test_an_area_larger_than_a_tile_is_cut(self, maker):
        tiles = maker.cut_tiles(shapely.box(10.0, 48.0, 11.8, 49.2))
        assert len(tiles) == 4
        assert max(max(tile.width, tile.height) for tile in tiles) == 10980
        assert all(tile.column % 2 == tile.row % 2 == tile.width % 2 == 0 for tile in tiles)


class TestFolders:
    def test_a_relative_folder_and_a_moved_one_work(self, maker, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        aoi = tmp_path / "aoi.geojson"
        aoi.write_text(json.dumps(PLAIN.__geo_interface__))
        maker.make_scenes(aoi, Path("made"))
        (tmp_path / "made").rename(tmp_path / "moved")
        for item in items_of(tmp_path / "moved"):
            assert classes_of(item).size


class TestRefusals:
    def test_a_folder_that_holds_something_is_left_alone(self, maker, plain):
        with pytest.raises(SystemExit, match="not empty"):
            maker.make_scenes(SAMPLES / "aoi/inn_valley.geojson", plain)


def digests(out):
    return {
        path.relative_to(out): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.rglob("*.tif")
    }
