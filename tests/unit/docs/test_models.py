"""The guide to models: its pieces run as they stand, one after the other."""

import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from tests.engine.cubes import cube, never, unheard

from landloom.raster.catalog import load_catalog
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.geometries.prediction import predict_geometries
from landloom.raster.models.load import load_model
from landloom.raster.models.registry import ModelFile, sha256_of

GUIDE = Path(__file__).parents[3] / "docs" / "models.md"


def pieces(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the guide's Python was run."""
    place = tmp_path_factory.mktemp("guide")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        exec("\n".join(pieces("python")), {})  # noqa: S102 - our own guide
    (place / "catalog.toml").write_text("\n".join(pieces("toml")))
    return place


def file_of(path: Path) -> ModelFile:
    return ModelFile(path, sha256_of(path), path.name)


def test_the_model_fits_its_recipe(folder):
    recipe = load_catalog(folder / "catalog.toml").recipe("MY_ROADS")
    assert recipe.model.href == str(folder / "roads.pt2")
    load_model(file_of(folder / "roads.pt2")).check(recipe.inference)


def test_a_recipe_answers_for_a_built_in_one(folder):
    catalog = load_catalog(folder / "catalog.toml")
    assert catalog.recipe("FTW").name == "MY_FIELDS"
    assert catalog.geometry_recipe("sam3_text_geometry").name == "MY_FINDER"


def test_the_geometry_model_finds_what_the_guide_says(folder, tmp_path):
    recipe = load_catalog(folder / "catalog.toml").geometry_recipe("MY_FINDER")
    pixels = np.full((3, 90, 100), 50, np.float32)
    pixels[0, 20:40, 30:95] = 250
    store = cube(tmp_path / "c.zarr", pixels, bands=list(recipe.features))
    executor = LocalExecutor(1)
    uri, count = predict_geometries(
        [store], recipe.inference(["bright", "dark"]), str(tmp_path / "found.parquet"),
        models=tmp_path, executor=executor, report=unheard, cancelled=never, target_crs=32633,
    )  # fmt: skip
    executor.close()
    frame = gpd.read_parquet(uri).set_index("label")
    assert count == 2
    assert frame.loc["bright"].geometry.area == 20 * 65 * 100
    assert frame.area.sum() == 90 * 100 * 100
