"""`landloom raster predict`: a model over an area or over mosaics, for pixels or for geometries."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from landloom.errors import InvalidInput
from landloom.raster.catalog import load_catalog
from landloom.raster.catalog.recipe import ModelSource
from landloom.raster.commands.options import (
    Catalog,
    Crs,
    DryRun,
    Fresh,
    Json,
    Output,
    RecipeName,
    Skip,
    Workers,
    absolute,
    settings_of,
    window,
)
from landloom.raster.commands.session import finish, request_of, work
from landloom.raster.models.registry import ModelRegistry
from landloom.raster.models.resolve import resolve_model
from landloom.raster.settings import EngineSettings
from landloom.wire.requests import WorkflowRequest

Mosaics = Annotated[
    list[str] | None,
    typer.Argument(metavar="[MOSAIC]...", help="Stores, or one index; else give --aoi."),
]
Model = Annotated[str | None, typer.Option("--model", help="A .pt2 file or URL, without --recipe.")]
Features = Annotated[
    list[str] | None,
    typer.Option("--feature", help="Input band; repeated, in the model's order."),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", help="Output channel; repeated, in the model's order."),
]
Prompts = Annotated[
    list[str] | None,
    typer.Option("--prompt", help="What a geometry model is to find; may be repeated."),
]
Confidence = Annotated[
    float | None,
    typer.Option("--confidence", help="With --prompt: least score; the recipe's own by default."),
]
PatchSize = Annotated[
    int | None, typer.Option("--patch-size", help="With --model: its window, pixels; 256.")
]
ClipSize = Annotated[
    int | None, typer.Option("--clip-size", help="Pixels at each side that count less; 32.")
]
Actor = Annotated[
    str, typer.Option("--actor", help="What outputs mean, such as REGRESSION_PYTORCH.")
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:1.")]
Batch = Annotated[
    int | None, typer.Option("--batch", help="Patches at a time, at most; 8, with --prompt 1.")
]
SomeAoi = Annotated[
    str | None, typer.Option("--aoi", help="With --recipe: where to build the mosaic.")
]
SomeStart = Annotated[
    str | None, typer.Option("--start", help="With --aoi: first day, YYYY-MM-DD.")
]
SomeEnd = Annotated[
    str | None, typer.Option("--end", help="With --aoi: end, YYYY-MM-DD, exclusive.")
]

PATCH_SIZE, CLIP_SIZE = 256, 32
"""Of a model of pixels where nothing is said; a geometry model's are those of its request."""


def predict(
    mosaics: Mosaics = None,
    recipe: RecipeName = None,
    model: Model = None,
    feature: Features = None,
    label: Labels = None,
    prompt: Prompts = None,
    confidence: Confidence = None,
    patch_size: PatchSize = None,
    clip_size: ClipSize = None,
    actor: Actor = "SEMANTIC_SEGMENTATION_PYTORCH",
    device: Device = "cpu",
    batch: Batch = None,
    aoi: SomeAoi = None,
    start: SomeStart = None,
    end: SomeEnd = None,
    crs: Crs = None,
    output: Output = None,
    skip: Skip = False,
    dry_run: DryRun = False,
    fresh: Fresh = False,
    as_json: Json = False,
    workers: Workers = None,
    catalog: Catalog = None,
) -> None:
    """Run a model: a recipe over an area, or over mosaics. With --prompt it finds geometries.

    \b
      landloom raster predict --recipe FTW --aoi county.geojson \\
          --start 2024-01-01 --end 2025-01-01
      landloom raster predict mosaic.zarr --recipe FTW
      landloom raster predict mosaic.zarr --recipe SAM3_TEXT_GEOMETRY \\
          --prompt "swimming pool" --prompt barn
      landloom raster predict mosaic.zarr --model roads.pt2 --patch-size 512 --clip-size 64 \\
          --feature r --feature g --feature b --label background --label road
    """
    settings = settings_of(output, workers, catalog)
    common: dict[str, Any] = {"dry_run": dry_run, "cache": not fresh}
    asked = _asked(prompt, confidence)
    if aoi and recipe and start and end and not mosaics:
        common |= window(aoi, start, end, crs, skip=skip, overviews=False)
        request = _over_area(recipe, asked, common)
    elif mosaics and recipe and not model and not aoi:
        inference = _recipe_inference(recipe, asked, settings)
        request = _over_mosaics(mosaics, inference, asked, crs, common)
    elif mosaics and model and not recipe and not aoi:
        outputs = {"labels": label or [], "actor": actor.lower()} if asked is None else asked
        sizes = _sizes(patch_size, clip_size, batch, asked)
        inference = {"model_path": model, "features": feature or [], "device": device}
        request = _over_mosaics(mosaics, inference | sizes | outputs, asked, crs, common)
    else:
        raise _unclear(aoi)
    finish(work(request, settings), as_json=as_json)


def _unclear(aoi: str | None) -> InvalidInput:
    """Return the error that options do not go together."""
    if aoi is not None:
        return InvalidInput(
            "--aoi needs --recipe, --start and --end, and takes no mosaic.",
            suggestion="Build a mosaic first, and give its URI with --model.",
        )
    return InvalidInput(
        "What to run over what is not clear.",
        suggestion="Give a mosaic and either --recipe or --model; or --recipe and --aoi.",
    )


def _asked(prompts: list[str] | None, confidence: float | None) -> dict[str, Any] | None:
    """Return what a geometry model is asked for; None where pixels are wanted."""
    if not prompts:
        if confidence is not None:
            raise InvalidInput("--confidence needs --prompt: pixels have no least score.")
        return None
    said = {} if confidence is None else {"confidence_threshold": confidence}
    return {"text_prompt": prompts, **said}


def _sizes(
    patch_size: int | None, clip_size: int | None, batch: int | None, asked: dict[str, Any] | None
) -> dict[str, int]:
    """Return the sizes of a model's window and batch, as far as they are said or ours to choose."""
    usual = {"patch_size": PATCH_SIZE, "clip_size": CLIP_SIZE} if asked is None else {}
    said = {"patch_size": patch_size, "clip_size": clip_size, "max_batch_size": batch}
    return usual | {name: value for name, value in said.items() if value is not None}


def _over_area(
    recipe: str, asked: dict[str, Any] | None, common: dict[str, Any]
) -> WorkflowRequest:
    if asked is None:
        return request_of("build_and_predict_mosaic_recipe", model_recipe=recipe, **common)
    kind = "predict_mosaic_geometries_recipe"
    return request_of(kind, model_recipe=recipe, **asked, **common)


def _over_mosaics(
    mosaics: list[str],
    inference: dict[str, Any],
    asked: dict[str, Any] | None,
    crs: int | None,
    common: dict[str, Any],
) -> WorkflowRequest:
    said = {"mosaics": absolute(mosaics), "inference": inference, **common}
    if asked is None:
        return request_of("predict_mosaic", **said)
    place = {} if crs is None else {"target_crs": crs}
    return request_of("predict_mosaic_geometries", **said, **place)


def _recipe_inference(
    name: str, asked: dict[str, Any] | None, settings: EngineSettings
) -> dict[str, Any]:
    """Return how a recipe runs its model, with the file that its name stands for here."""
    catalog = load_catalog(settings.catalog)
    if asked is None:
        recipe = catalog.recipe(name)
        return _with_file(recipe.inference.model_dump(), recipe.model, recipe.name, settings)
    finder = catalog.geometry_recipe(name)
    inference = finder.inference(asked["text_prompt"], asked.get("confidence_threshold"))
    return _with_file(inference.model_dump(), finder.model, finder.name, settings)


def _with_file(
    inference: dict[str, Any], model: ModelSource, recipe: str, settings: EngineSettings
) -> dict[str, Any]:
    file = resolve_model(model.href, model.sha256, ModelRegistry(settings.models), recipe)
    return {**inference, "model_path": str(file.path)}
