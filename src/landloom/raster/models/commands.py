"""The commands about model files: add one, list them, check one."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landloom.errors import InvalidInput, LandloomError, ModelRejected, sentence
from landloom.raster.catalog.catalog import Catalog, load_catalog
from landloom.raster.catalog.geometry import GeometryRecipe
from landloom.raster.catalog.recipe import Recipe
from landloom.raster.models.registry import ModelFile, ModelRegistry, model_key, sha256_of
from landloom.raster.settings import EngineSettings
from landloom.raster.store.objects import local_path
from landloom.wire.device import device_name
from landloom.wire.requests import Inference

if TYPE_CHECKING:
    from landloom.raster.geometries.exported import GeometryCard
    from landloom.raster.models.load import Model

USUAL_PATCH = 256
"""Pixels; a model that takes any size is tried on this one."""

cli = typer.Typer(
    help="Model files and recipes: add, list, check.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; an error on purpose ends with its sentence, not a traceback."""
    # What a command has to say it says by itself.
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        cli(prog_name="landloom models")
    except LandloomError as error:
        typer.echo(sentence(error), err=True)
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
    catalog = load_catalog(settings.catalog)
    typer.echo(f"Recipes (models folder: {settings.models})")
    recipes: list[Recipe | GeometryRecipe] = [*catalog.recipes.values()]
    recipes += catalog.geometry_recipes.values()
    for recipe in recipes:
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
def check(
    model: Annotated[
        str, typer.Argument(metavar="FILE", help="A .pt2 file, or a name that was registered.")
    ],
    recipe: Annotated[
        str | None, typer.Option(help="Hold it against this recipe; else against all.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
) -> None:
    """Load a model file: what it takes and gives, what would run it, which recipes it fits.

    \b
      landloom models check ftw-v1.1-ep.pt2 --recipe FTW
    """
    try:
        device = device_name(device)
    except ValueError as wrong:
        raise InvalidInput(f"--device: {wrong}.") from wrong
    settings = EngineSettings.from_environment()
    file = _found(model, ModelRegistry(settings.models))
    catalog = load_catalog(settings.catalog)
    from landloom.raster.geometries.exported import geometry_card  # noqa: PLC0415 - torch, slow
    from landloom.raster.models.load import load_model  # noqa: PLC0415 - torch, slow to import

    card = geometry_card(file)
    if card is not None:
        _tell_geometries(file, card, catalog, recipe)
        return
    chosen = [catalog.recipe(recipe)] if recipe is not None else list(catalog.recipes.values())
    loaded = load_model(file, device, models=settings.models)
    typer.echo(f"{file.path}\nsha256           {file.sha256}")
    typer.echo(f"archive version  {loaded.version}")
    for name, signature in loaded.signatures.items():
        largest = signature.largest_batch or "any"
        typer.echo(
            f"{name:<17}{signature}  (batch, channel, y, x); batch {signature.smallest_batch} to"
            f" {largest}"
        )
    typer.echo(f"metadata         {'mlm-metadata' if loaded.metadata else 'none'}")
    fits = [each for each in chosen if _fits(loaded, each.inference, explain=recipe is not None)]
    said = ", ".join(each.name for each in fits) or "none"
    typer.echo(f"fits             {said if recipe is not None or fits else 'no recipe here'}")
    typer.echo(f"run by           {_runtime(loaded, fits)}")
    if recipe is not None and not fits:
        raise typer.Exit(1)


def _tell_geometries(
    file: ModelFile, card: GeometryCard, catalog: Catalog, recipe: str | None
) -> None:
    """Say what a model that answers text prompts takes, and which recipes it fits."""
    chosen = (
        [catalog.geometry_recipe(recipe)] if recipe else list(catalog.geometry_recipes.values())
    )
    side = "any size" if card.side_yx is None else "{} x {} px".format(*card.side_yx)
    typer.echo(f"{file.path}\nsha256           {file.sha256}")
    typer.echo(f"archive version  {card.version}")
    typer.echo(
        f"model            answers text prompts of up to {card.tokens} tokens over images of"
        f" {card.channels} channels, {side}"
    )
    fits = [each for each in chosen if len(each.features) == card.channels]
    typer.echo(f"fits             {', '.join(each.name for each in fits) or 'no recipe here'}")
    if recipe is not None and not fits:
        wanted = len(chosen[0].features)
        typer.echo(f"does not fit     {recipe} has {wanted} features")
        raise typer.Exit(1)


def _found(model: str, registry: ModelRegistry) -> ModelFile:
    path = Path(model).expanduser()
    if path.is_file():
        return ModelFile(path, sha256_of(path), path.name)
    known = registry.find([model]) if "/" not in model else None
    if known is None:
        raise InvalidInput(
            f"There is no file {model}, and no model was registered by this name.",
            suggestion="Pass the path of a .pt2 file, or a name of `landloom models list`.",
        )
    return known


def _fits(model: Model, inference: Inference, *, explain: bool) -> bool:
    try:
        model.check(inference)
    except ModelRejected as problem:
        if explain:
            typer.echo(f"does not fit     {problem.message}")
        return False
    return True


def _runtime(model: Model, fits: list[Recipe]) -> str:
    """Try the model as it would be run, and return what runs it, with what there is to know."""
    inference = fits[0].inference if fits else _guessed(model)
    if inference is None:
        return "not tried: the file does not say its sizes, and no recipe fits it"
    try:
        runner = model.prepare(inference)
    except ModelRejected as problem:
        return f"nothing here: {problem}"
    said = f"{runner.runtime.name}, {runner.batch} patches of {inference.patch_size} px at a time"
    return "; ".join([said, *runner.notes])


def _guessed(model: Model) -> Inference | None:
    """Return a request that the file's own sizes allow, or None where they leave too much open."""
    channels, labels = model.card.first.input[1], model.signatures["model"].output[1]
    if channels is None or labels is None:
        return None
    return Inference(
        model_path="model.pt2",
        patch_size=model.card.first.input[2] or USUAL_PATCH,
        clip_size=0,
        features=[f"band {number}" for number in range(channels)],
        labels=[f"label {number}" for number in range(labels)],
        device=model.device,
    )


def _registry() -> ModelRegistry:
    return ModelRegistry(EngineSettings.from_environment().models)


def _where(recipe: Recipe | GeometryRecipe, registry: ModelRegistry) -> str:
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


def _marks(recipe: Recipe | GeometryRecipe) -> list[str]:
    marks = []
    if not recipe.feature_order_verified:
        marks.append("feature order unverified")
    if not recipe.model.verified:
        marks.append("model URL unverified")
    if recipe.answers:
        marks.append(f"answers {', '.join(recipe.answers)} here")
    return marks
