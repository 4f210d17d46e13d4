"""The sample imagery is whole, and its catalogue says what the built-in one cannot."""

from datetime import UTC, datetime
from pathlib import Path

import pystac
import pytest
import rasterio
import shapely

from landloom.raster.catalog.catalog import load_catalog
from landloom.raster.scenes import search_scenes

SAMPLES = Path(__file__).parents[3] / "samples"


@pytest.fixture(scope="module")
def catalog():
    return load_catalog(SAMPLES / "catalog.toml")


def area(name):
    text = (SAMPLES / "aoi" / f"{name}.geojson").read_text()
    return shapely.from_geojson(text)


class TestImagery:
    def test_every_item_and_raster_is_there(self):
        root = pystac.Catalog.from_file(str(SAMPLES / "imagery" / "catalog.json"))
        items = list(root.get_items(recursive=True))
        assert len(items) == 23
        for item in items:
            for asset in item.assets.values():
                with rasterio.open(asset.get_absolute_href()) as file:
                    assert file.crs.to_string() == item.properties["proj:code"]
                    assert list(file.shape) == asset.extra_fields["proj:shape"]

    def test_every_folder_has_a_source(self):
        sources = (SAMPLES / "imagery" / "SOURCES.md").read_text()
        for folder in (SAMPLES / "imagery").glob("*/*"):
            if folder.is_dir():
                assert folder.name in sources


class TestCatalog:
    @pytest.mark.parametrize(
        ("name", "day"), [("SAMPLE_PLANTING", "2021-06-17"), ("SAMPLE_HARVEST", "2021-09-25")]
    )
    def test_each_season_has_its_scene(self, catalog, name, day):
        year = datetime(2021, 1, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC)
        found = search_scenes(catalog.dataset(name), area("inn_valley"), *year)
        assert [f"{scene.acquired:%Y-%m-%d}" for scene in found.scenes] == [day]

    def test_flanders_has_all_its_days(self, catalog):
        year = datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
        dataset = catalog.dataset("SAMPLE_FLANDERS")
        assert len(search_scenes(dataset, area("flanders_timeseries"), *year)) == 19

    def test_the_windows_of_the_built_in_datasets_stay(self, catalog):
        assert catalog.dataset("S2_MED_PLANTING").season(48.3) == (91, 151)
        assert catalog.dataset("S2_MED_HARVEST").season(48.3) == (244, 304)
        assert catalog.recipe("FTW").name == "FTW"

    def test_the_recipe_names_the_committed_model(self, catalog):
        recipe = catalog.recipe("SAMPLE_FIELDS")
        assert Path(recipe.model.href) == SAMPLES / "models" / "fields.pt2"
        assert recipe.inference.labels == ["non_field_background", "field", "field_boundaries"]
