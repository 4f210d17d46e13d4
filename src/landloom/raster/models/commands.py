"""The commands about model files: add one, list them, check one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from landloom.errors import InvalidInput, LandloomError
from landloom.raster.catalog.catalog import load_catalog
from landloom.raster.catalog.recipe import Recipe
from landloom.raster.models.registry import ModelFile, ModelRegistry, model_key, sha256_of
from landloom.raster.settings import EngineSettings
from landloom.raster.store.objects import local_path

cli = typer.Typer(
    help="Model files and recipes: add, list, check.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; an error on purpose ends with its sentence, not a traceback."""
    try:
        cli(prog_name="landloom models")
    except LandloomError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2 if isinstance(error, InvalidInput) else 1)


@cli.command("add")
def add(
    name: Annotated[str, typer.Argument(help="A recipe's name, or the file name of its URL.")],
    file: Annotated[Path, typer.Argument(help="The .pt2 file.")],
) -> None:
    """Register a model file: recipes of that name, or whose URL ends in it, use it from now on."""
    added = _registry().add(name, file)
    typer.echo(f"{added.name}  {added.path}\nsha256 {added.sha256}")


@cli.command("list")
def list_models() -> None:
    """List recipes and registered files, and what about them nobody has verified."""
    settings = EngineSettings.from_environment()
    registry = ModelRegistry(settings.models)
    recipes = load_catalog(settings.catalog).recipes
    typer.echo(f"Recipes (models folder: {settings.models})")
    for recipe in recipes.values():
        typer.echo(f"  {recipe.name}: {recipe.about}")
        typer.echo(f"    model    {recipe.model.href}")
        typer.echo(f"    weights  {_where(recipe, registry)}")
        marks = _marks(recipe)
        if marks:
            typer.echo(f"    mind     {'; '.join(marks)}")
    typer.echo("Registered files")
    for name, digest in sorted(registry.registered().items()):
        typer.echo(f"  {name}  sha256 {digest}")


@cli.command("check")
def check(file: Annotated[Path, typer.Argument(help="A .pt2 file.")]) -> None:
    """Load a model file and say what it takes and gives, without running it."""
    if not file.is_file():
        raise InvalidInput(f"There is no file {file}.", suggestion="Pass the path of a .pt2 file.")
    from landloom.raster.models.load import load_model  # noqa: PLC0415 - torch, slow to import

    model = load_model(ModelFile(file, sha256_of(file), file.name))
    typer.echo(f"{file}\nsha256           {model.file.sha256}\narchive version  {model.version}")
    for name, signature in model.signatures.items():
        largest = signature.largest_batch or "any"
        typer.echo(
            f"{name:<17}{signature}  (batch, channel, y, x); batch {signature.smallest_batch} to"
            f" {largest}"
        )
    typer.echo(f"metadata         {'mlm-metadata' if model.metadata else 'none'}")


def _registry() -> ModelRegistry:
    return ModelRegistry(EngineSettings.from_environment().models)


def _where(recipe: Recipe, registry: ModelRegistry) -> str:
    href = recipe.model.href
    names = {model_key(recipe.name), model_key(href.rsplit("/", 1)[-1])}
    for name, digest in registry.registered().items():
        if model_key(name) in names:
            return f"registered as {name}, sha256 {digest[:12]}"
    path = local_path(href)
    if path is not None:
        return "here" if path.is_file() else f"missing: there is no {path}"
    pinned = registry.pinned(href)
    if pinned is not None:
        return f"downloaded, pinned to sha256 {pinned[:12]}"
    return f"not here: fetched at first use, or `landloom models add {recipe.name} FILE.pt2`"


def _marks(recipe: Recipe) -> list[str]:
    marks = []
    if not recipe.feature_order_verified:
        marks.append("feature order unverified")
    if not recipe.model.verified:
        marks.append("model URL unverified")
    if recipe.answers:
        marks.append(f"answers {', '.join(recipe.answers)} here")
    return marks
