"""The catalogue: what is built in, and what an operator may lay over it."""

import pytest

from landloom.errors import CatalogProblem
from landloom.raster.catalog import load_catalog
from landloom.raster.stac.query import Query
from landloom.wire.enums import DatasetEnum

OVERLAY = """
[datasets.S2_MED_PLANTING]
source = { kind = "static", href = "imagery/catalog.json" }
mask = { assets = ["CSMASK"], keep = [0] }

[datasets.NEAR_HARVEST]
extends = "S2_MED_PLANTING"
windows = [{ days = [250, 280] }]

[recipes.sample]
extends = "FTW"
datasets = ["S2_MED_PLANTING", "S2_MED_HARVEST"]
answers = ["ftw"]
model = { href = "model.pt2", verified = true }
"""


@pytest.fixture
def overlay(tmp_path):
    path = tmp_path / "catalog.toml"
    path.write_text(OVERLAY)
    return path


class TestBuiltIn:
    @pytest.mark.parametrize(
        ("name", "latitude", "days"),
        [
            ("S2_MED_PLANTING", 48.0, (91, 151)), ("S2_MED_PLANTING", -48.0, (274, 334)),
            ("S2_MED_PLANTING", 45.0, (60, 120)), ("S2_MED_PLANTING", 20.0, (121, 212)),
            ("S2_MED_PLANTING", -20.5, (244, 334)), ("S2_MED_PLANTING", 5.0, (60, 121)),
            ("S2_MED_HARVEST", 48.0, (244, 304)), ("S2_MED_HARVEST", -48.0, (60, 151)),
            ("S2_MED_HARVEST", 33.0, (213, 304)), ("S2_MED_HARVEST", -10.0, (91, 181)),
            ("S2_MED_HARVEST", 0.0, (182, 243)), ("S2_MED_WINDOWED_PIXEL", 48.0, (1, 366)),
        ],
    )  # fmt: skip
    def test_season_windows_by_latitude(self, name, latitude, days):
        assert load_catalog().dataset(name).season(latitude) == days

    def test_dataset_bands_carry_the_prefix(self):
        assert load_catalog().dataset("s2_med_harvest").labels == (
            "s2med_harvest:B02", "s2med_harvest:B03", "s2med_harvest:B04", "s2med_harvest:B08",
            "s2med_harvest:N_VALID_PIXELS",
        )  # fmt: skip

    def test_all_bands_are_the_twelve_of_l2a(self):
        dataset = load_catalog().dataset("S2_MED_WINDOWED_PIXEL_ALL_BANDS")
        assert [band.names[-1] for band in dataset.bands] == [
            "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12",
        ]  # fmt: skip
        assert dataset.resolution == 10
        assert dataset.season(48.0) == (1, 366)
        assert dataset.radiometry == "sentinel2_l2a"

    @pytest.mark.parametrize(
        ("name", "gsd", "metres"),
        [("NAIP_30CM", 0.3, 0.3), ("NAIP_60CM", 0.6, 0.6), ("NAIP_1M", 1, 1.0)],
    )
    def test_aerial_images_of_one_resolution(self, name, gsd, metres):
        catalog = load_catalog()
        dataset = catalog.dataset(name)
        assert dataset.resolution == metres
        assert dataset.labels == tuple(
            f"{name.lower()}:{band}" for band in ("red", "green", "blue", "nir")
        )
        assert [(band.names, band.band) for band in dataset.bands] == [
            (("image",), number) for number in range(4)
        ]
        assert (dataset.dtype, dataset.nodata, dataset.reducer) == ("uint8", 0, "last")
        assert dataset.mask is None
        others = [each for each in catalog.datasets.values() if each.prefix.startswith("naip")]
        taken = [each.name for each in others if Query.parse(each.query).holds({"gsd": gsd})]
        assert taken == [name]
        assert not Query.parse(dataset.query).holds({})

    def test_every_public_dataset_is_there(self):
        assert {load_catalog().dataset(each).prefix for each in DatasetEnum} == set(DatasetEnum)

    def test_scene_classes_that_are_dropped(self):
        mask = load_catalog().dataset("S2_MED_PLANTING").mask
        kept = [value for value, dropped in enumerate(mask.dropped()) if not dropped]
        assert kept[:5] == [2, 4, 5, 6, 11]

    def test_nothing_unproven_about_the_recipe_is_claimed(self):
        recipe = load_catalog().recipe("FTW")
        assert recipe.model.sha256 is None
        assert not recipe.model.verified
        assert not recipe.feature_order_verified
        assert recipe.inference.features[0] == "s2med_planting:B04"
        assert (recipe.inference.patch_size, recipe.inference.clip_size) == (256, 32)

    def test_names_and_prefixes_are_found_in_any_case(self):
        catalog = load_catalog()
        assert catalog.dataset("S2Med_Planting") is catalog.dataset("s2_med_planting")

    def test_an_unknown_name_lists_the_known_ones(self):
        with pytest.raises(CatalogProblem, match="S2_MED_PLANTING"):
            load_catalog().dataset("LANDSAT")
        with pytest.raises(CatalogProblem, match="FTW"):
            load_catalog().recipe("NOPE")


class TestOverlay:
    def test_an_entry_is_laid_over_the_built_in_one(self, overlay, tmp_path):
        dataset = load_catalog(overlay).dataset("S2_MED_PLANTING")
        assert dataset.source.href == str(tmp_path / "imagery" / "catalog.json")
        assert dataset.source.collection is None
        assert dataset.mask.keep == (0,)
        assert dataset.mask.drop == ()
        assert dataset.season(48.0) == (91, 151)

    def test_extending_takes_all_but_the_prefix(self, overlay):
        dataset = load_catalog(overlay).dataset("near_harvest")
        assert dataset.prefix == "near_harvest"
        assert dataset.season(-70.0) == (250, 280)
        assert dataset.mask.keep == (0,)

    def test_a_recipe_answers_for_another(self, overlay, tmp_path):
        recipe = load_catalog(overlay).recipe("FTW")
        assert recipe.name == "SAMPLE"
        assert recipe.model.href == recipe.inference.model_path == str(tmp_path / "model.pt2")
        assert recipe.model.verified


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[datasets.X]\nresolution = 10", "datasets.X: source is missing"),
        ("[datasets.S2_MED_PLANTING]\nresolution = 'fine'", "resolution must be a number"),
        ("[datasets.S2_MED_PLANTING]\nresolutoin = 5", "unknown key 'resolutoin'"),
        ("[datasets.S2_MED_PLANTING]\nwindows = [{ days = [9, 5] }]", r"windows\[0\]: days must"),
        ("[datasets.S2_MED_PLANTING]\nmask = { assets = ['A'] }", "mask: drop or keep"),
        ("[datasets.S2_MED_PLANTING]\nsource = { kind = 'ftp', href = 'x' }", "kind is 'ftp'"),
        ("[datasets.Y]\nextends = 'NOPE'", "extends 'NOPE'"),
        ("[datasets.S2_MED_PLANTING]\ndtype = 'uint8'\nnodata = 255", "nodata must be 0"),
        ("[datasets.NAIP_60CM]\nquery = 'open()'", r"NAIP_60CM: .*may not use open\(\)"),
        ("[datasets.NAIP_60CM.bands]\nred = { assets = ['a'], band = 0 }", "bands.red: band must"),
        ("[datasets.NAIP_60CM]\nsource = { kind = 'gti', href = 'x' }", "time_column is missing"),
        ("[recipes.FTW]\nclip_size = 128", "clip_size 128 leaves nothing"),
        ("[recipes.FTW]\nfeatures = ['a:B02']", "features names 'a:B02'"),
        ("[recipes.FTW]\nactor = 'GUESS'", "GUESS"),
        ("[recipes.FTW]\nmodel = { href = 'model.onnx' }", "model_path is wrong"),
        ("[models.X]\na = 1", "unknown part 'models'"),
        ("a =", "not TOML"),
    ],
)
def test_errors_name_file_entry_and_key(tmp_path, text, match):
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(CatalogProblem, match=match) as caught:
        load_catalog(path)
    assert "broken.toml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CatalogProblem, match=r"none\.toml"):
        load_catalog(tmp_path / "none.toml")
