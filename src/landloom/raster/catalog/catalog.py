"""The catalogue: datasets and recipes by name, an operator's file laid over the built-in one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from landloom.errors import CatalogProblem
from landloom.raster.catalog.dataset import Dataset, read_dataset
from landloom.raster.catalog.geometry import GeometryRecipe, read_geometry_recipe
from landloom.raster.catalog.recipe import Recipe, read_recipe
from landloom.raster.catalog.section import Section

KINDS = ("datasets", "recipes", "geometry_recipes")

WHOLE = frozenset({"source", "mask", "model"})
"""Tables that an overlay replaces: half of one source and half of another make none."""

HREF_TABLES = ("source", "model")


@dataclass(frozen=True, slots=True)
class Catalog:
    """Datasets and recipes by upper-case name."""

    datasets: Mapping[str, Dataset]
    recipes: Mapping[str, Recipe]
    geometry_recipes: Mapping[str, GeometryRecipe]

    def dataset(self, name: str) -> Dataset:
        """Return a dataset by its name or its prefix, in any case.

        Raises:
            CatalogProblem: There is none; the message lists those there are.
        """
        wanted = name.strip().upper()
        if wanted in self.datasets:
            return self.datasets[wanted]
        by_prefix = [each for each in self.datasets.values() if each.prefix.upper() == wanted]
        if by_prefix:
            return by_prefix[0]
        raise _unknown("dataset", name, self.datasets)

    def recipe(self, name: str) -> Recipe:
        """Return a recipe by name in any case, or the one that `answers` for it.

        Raises:
            CatalogProblem: There is none; the message lists those there are.
        """
        return _named("recipe", name, self.recipes)

    def geometry_recipe(self, name: str) -> GeometryRecipe:
        """Return a geometry recipe by name in any case, or the one that `answers` for it.

        Raises:
            CatalogProblem: There is none; the message lists those there are.
        """
        return _named("geometry recipe", name, self.geometry_recipes)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A raw entry and the file that said it last."""

    origin: str
    table: Mapping[str, Any]


def load_catalog(path: Path | str | None = None) -> Catalog:
    """Return the built-in catalogue with the file at `path` laid over it.

    Raises:
        CatalogProblem: The file cannot be read, or an entry is wrong; the message names file,
            entry and key.
    """
    entries: dict[str, dict[str, _Entry]] = {kind: {} for kind in KINDS}
    builtin = files(__package__) / "builtin.toml"
    _lay_over(entries, _parse("built-in catalogue", builtin.read_text()), "built-in catalogue")
    if path is not None:
        file = Path(path).expanduser().absolute()
        document = _parse(str(file), _read_text(file))
        _resolve_hrefs(document, file.parent)
        _lay_over(entries, document, str(file))
    datasets = {
        name: read_dataset(name, Section(f"{entry.origin}: datasets.{name}", entry.table))
        for name, entry in entries["datasets"].items()
    }
    recipes = {
        name: read_recipe(name, Section(f"{entry.origin}: recipes.{name}", entry.table))
        for name, entry in entries["recipes"].items()
    }
    geometry_recipes = {
        name: read_geometry_recipe(
            name, Section(f"{entry.origin}: geometry_recipes.{name}", entry.table)
        )
        for name, entry in entries["geometry_recipes"].items()
    }
    catalog = Catalog(datasets, recipes, geometry_recipes)
    for name, recipe in recipes.items():
        origin = f"{entries['recipes'][name].origin}: recipes.{name}"
        _check_features(catalog, origin, recipe.datasets, recipe.inference.features)
    for name, finder in geometry_recipes.items():
        origin = f"{entries['geometry_recipes'][name].origin}: geometry_recipes.{name}"
        _check_features(catalog, origin, finder.datasets, finder.features)
    return catalog


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise CatalogProblem(
            f"Cannot read the catalogue {file}: {error.strerror}.",
            suggestion="Check the path in LANDLOOM_CATALOG.",
        ) from error


def _parse(origin: str, text: str) -> dict[str, Any]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogProblem(f"{origin} is not TOML: {error}.") from error
    for kind, table in document.items():
        if kind not in KINDS or not isinstance(table, dict):
            parts = ", ".join(f"[{each}.NAME]" for each in KINDS)
            raise CatalogProblem(
                f"{origin} has an unknown part {kind!r}.",
                suggestion=f"Entries are {parts}, not [{kind}].",
            )
        wrong = [name for name, entry in table.items() if not isinstance(entry, dict)]
        if wrong:
            raise CatalogProblem(f"{origin}: {kind}.{wrong[0]} must be a table.")
    return document


def _lay_over(
    entries: dict[str, dict[str, _Entry]], document: Mapping[str, Any], origin: str
) -> None:
    """Merge a file's entries into `entries`; an entry may extend one that stands before it."""
    for kind, table in document.items():
        known = entries[kind]
        for given, entry in table.items():
            name = given.upper()
            base_name = str(entry.get("extends", name)).upper()
            base = known.get(base_name)
            if base is None and "extends" in entry:
                raise CatalogProblem(
                    f"{origin}: {kind}.{given} extends {entry['extends']!r}, which is not known"
                    " before it.",
                    suggestion=f"Known are {', '.join(known)}.",
                )
            own = {key: value for key, value in entry.items() if key != "extends"}
            merged = own if base is None else _merge(base.table, own)
            if base is not None and base_name != name:
                # What belongs to one entry only is not inherited by another.
                inherited = {"prefix", "answers"} - own.keys()
                merged = {key: value for key, value in merged.items() if key not in inherited}
            known[name] = _Entry(origin, merged)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid over it, table by table; `bands` is taken whole."""
    merged = dict(base)
    for key, value in over.items():
        deep = key not in WHOLE and key != "bands"
        if deep and isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            merged[key] = _merge(base[key], value)
        else:
            merged[key] = value
    return merged


def _resolve_hrefs(document: Mapping[str, Any], folder: Path) -> None:
    """Make the relative hrefs of an operator's file absolute: they mean its own folder."""
    for table in document.values():
        for entry in table.values():
            for key in HREF_TABLES:
                part = entry.get(key)
                href = part.get("href") if isinstance(part, dict) else None
                if isinstance(href, str) and "://" not in href:
                    part["href"] = str((folder / Path(href).expanduser()).resolve())


def _check_features(
    catalog: Catalog, origin: str, datasets: Sequence[str], features: Sequence[str]
) -> None:
    """Hold a recipe's features against the bands of its datasets."""
    unknown = [name for name in datasets if name.upper() not in catalog.datasets]
    if unknown:
        raise CatalogProblem(
            f"{origin}: datasets names {unknown[0]!r}, which is not a dataset.",
            suggestion=f"Datasets are {', '.join(catalog.datasets)}.",
        )
    labels = [label for name in datasets for label in catalog.dataset(name).labels]
    missing = [feature for feature in features if feature not in labels]
    if missing:
        raise CatalogProblem(
            f"{origin}: features names {missing[0]!r}, which no dataset of the recipe has.",
            suggestion=f"They have {', '.join(labels)}.",
        )


def _named[T: (Recipe, GeometryRecipe)](kind: str, name: str, recipes: Mapping[str, T]) -> T:
    """Return the recipe of a name, or the last one that answers for it."""
    wanted = name.strip().upper()
    standing_in = [each for each in recipes.values() if wanted in each.answers]
    if standing_in:
        return standing_in[-1]
    if wanted in recipes:
        return recipes[wanted]
    raise _unknown(kind, name, recipes)


def _unknown(kind: str, name: str, known: Mapping[str, Any]) -> CatalogProblem:
    return CatalogProblem(
        f"There is no {kind} {name!r} in the catalogue.",
        suggestion=f"Use one of: {', '.join(known)}; or add it by LANDLOOM_CATALOG.",
    )
