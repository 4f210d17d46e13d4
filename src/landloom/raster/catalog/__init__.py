"""Datasets and recipes as data: a built-in file, and an operator's laid over it."""

from landloom.raster.catalog.catalog import Catalog, load_catalog
from landloom.raster.catalog.dataset import Band, Dataset, MaskRule, SeasonRow, Source
from landloom.raster.catalog.geometry import GeometryRecipe
from landloom.raster.catalog.recipe import ModelSource, Recipe, VectorDefaults

__all__ = [
    "Band",
    "Catalog",
    "Dataset",
    "GeometryRecipe",
    "MaskRule",
    "ModelSource",
    "Recipe",
    "SeasonRow",
    "Source",
    "VectorDefaults",
    "load_catalog",
]
