"""`landloom raster mosaic|predict|vectorize|multiscales|plan`: commands that make something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from landloom.errors import InvalidInput
from landloom.raster.catalog import load_catalog
from landloom.raster.commands.options import (
    Aoi,
    Catalog,
    Crs,
    DryRun,
    End,
    Fresh,
    Json,
    Output,
    Overviews,
    Skip,
    Start,
    Workers,
    settings_of,
)
from landloom.raster.commands.session import finish, request_of, work
from landloom.raster.models.registry import ModelRegistry
from landloom.raster.models.resolve import resolve_model
from landloom.raster.settings import EngineSettings
from landloom.wire.requests import WorkflowRequest

Datasets = Annotated[
    list[str] | None,
    typer.Option("--dataset", help="What to build of; may be repeated, in band order."),
]
RecipeName = Annotated[str | None, typer.Option("--recipe", help="A recipe of the catalogue.")]


def mosaic(
    aoi: Aoi,
    start: Start,
    end: End,
    dataset: Datasets = None,
    crs: Crs = None,
    output: Output = None,
    overviews: Overviews = False,
    skip: Skip = False,
    dry_run: DryRun = False,
    fresh: Fresh = False,
    as_json: Json = False,
    workers: Workers = None,
    catalog: Catalog = None,
) -> None:
    """Build a cloud-free mosaic of each row of an area.

    \b
      landloom raster mosaic --aoi county.geojson --dataset S2_MED_PLANTING \\
          --dataset S2_MED_HARVEST --start 2024-01-01 --end 2025-01-01 --crs 3857
    """
    settings = settings_of(output, workers, catalog)
    if not dataset:
        known = ", ".join(load_catalog(settings.catalog).datasets)
        raise InvalidInput("There is no --dataset.", suggestion=f"Name one of: {known}.")
    said = _window(aoi, start, end, crs, skip=skip, overviews=overviews)
    request = request_of(
        "build_mosaics", datasets=dataset, dry_run=dry_run, cache=not fresh, **said
    )
    finish(work(request, settings), as_json=as_json)


def predict(
    mosaics: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MOSAIC]...", help="Stores, or one index; else give --aoi."),
    ] = None,
    recipe: RecipeName = None,
    model: Annotated[str | None, typer.Option(help="A .pt2 file or URL, without --recipe.")] = None,
    feature: Annotated[
        list[str] | None, typer.Option(help="Input band; repeated, in the model's order.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Output channel; repeated, in the model's order.")
    ] = None,
    patch_size: Annotated[int, typer.Option(help="The model's window, pixels.")] = 256,
    clip_size: Annotated[int, typer.Option(help="Pixels at each side that count less.")] = 32,
    actor: Annotated[
        str, typer.Option(help="What outputs mean, such as REGRESSION_PYTORCH.")
    ] = "SEMANTIC_SEGMENTATION_PYTORCH",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    batch: Annotated[int, typer.Option(help="Patches at a time, at most.")] = 8,
    aoi: Annotated[
        str | None, typer.Option(help="With --recipe: where to build the mosaic.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="With --aoi: first day, YYYY-MM-DD.")] = None,
    end: Annotated[str | None, typer.Option(help="With --aoi: end, YYYY-MM-DD, exclusive.")] = None,
    crs: Crs = None,
    output: Output = None,
    skip: Skip = False,
    dry_run: DryRun = False,
    fresh: Fresh = False,
    as_json: Json = False,
    workers: Workers = None,
    catalog: Catalog = None,
) -> None:
    """Run a model: a recipe over an area, or over mosaics.

    \b
      landloom raster predict --recipe FTW --aoi county.geojson \\
          --start 2024-01-01 --end 2025-01-01
      landloom raster predict mosaic.zarr --recipe FTW
      landloom raster predict mosaic.zarr --model roads.pt2 --patch-size 512 --clip-size 64 \\
          --feature r --feature g --feature b --label background --label road
    """
    settings = settings_of(output, workers, catalog)
    common = {"dry_run": dry_run, "cache": not fresh}
    if aoi is not None:
        if recipe is None or start is None or end is None or mosaics:
            raise InvalidInput(
                "--aoi needs --recipe, --start and --end, and takes no mosaic.",
                suggestion="Build a mosaic first, and give its URI with --model.",
            )
        common |= _window(aoi, start, end, crs, skip=skip, overviews=False)
        request = request_of("build_and_predict_mosaic_recipe", model_recipe=recipe, **common)
    elif mosaics and recipe is not None and model is None:
        inference = _recipe_inference(recipe, settings)
        request = _over(mosaics, inference, common)
    elif mosaics and model is not None and recipe is None:
        inference = {
            "model_path": model,
            "features": feature or [],
            "labels": label or [],
            "patch_size": patch_size,
            "clip_size": clip_size,
            "actor": actor.lower(),
            "device": device,
            "max_batch_size": batch,
        }
        request = _over(mosaics, inference, common)
    else:
        raise InvalidInput(
            "What to run over what is not clear.",
            suggestion="Give a mosaic and either --recipe or --model; or --recipe and --aoi.",
        )
    finish(work(request, settings), as_json=as_json)


def vectorize(
    prediction: Annotated[str, typer.Argument(help="A store that a prediction made.")],
    feature: Annotated[list[str], typer.Option(help="Band to make polygons of; may be repeated.")],
    threshold: Annotated[float, typer.Option(help="Least score that belongs to it.")] = 0.5,
    stats: Annotated[
        bool, typer.Option("--stats", help="With the scores of each polygon.")
    ] = False,
    config: Annotated[
        str,
        typer.Option(help="Further keys of vectorize_config as JSON: '{\"min_area_m2\": 500}'."),
    ] = "{}",
    crs: Annotated[int, typer.Option("--crs", help="EPSG code of the polygons.")] = 4326,
    output: Output = None,
    dry_run: DryRun = False,
    fresh: Fresh = False,
    as_json: Json = False,
    workers: Workers = None,
) -> None:
    """Turn a prediction into polygons: a folder of GeoParquet.

    \b
      landloom raster vectorize prediction.zarr --feature field --stats \\
          --config '{"min_area_m2": 500, "simplify": 5}'
    """
    request = request_of(
        "vectorize_mosaic",
        mosaic=_absolute([prediction])[0],
        features=feature,
        threshold=threshold,
        vectorize_config={**_json(config), **({"stats": True} if stats else {})},
        target_crs=crs,
        dry_run=dry_run,
        cache=not fresh,
    )
    finish(work(request, settings_of(output, workers, None)), as_json=as_json)


def multiscales(
    store: Annotated[str, typer.Argument(help="A georeferenced Zarr store, ours or another's.")],
    output: Output = None,
    dry_run: DryRun = False,
    fresh: Fresh = False,
    as_json: Json = False,
    workers: Workers = None,
) -> None:
    """Copy a store into one with overviews, for maps.

    \b
      landloom raster multiscales mosaic.zarr
    """
    (source,) = _absolute([store])
    request = request_of(
        "build_zarr_multiscales", source_store=source, dry_run=dry_run, cache=not fresh
    )
    finish(work(request, settings_of(output, workers, None)), as_json=as_json)


def plan(
    aoi: Aoi,
    start: Start,
    end: End,
    dataset: Datasets = None,
    recipe: RecipeName = None,
    crs: Crs = None,
    as_json: Json = False,
    workers: Workers = None,
    catalog: Catalog = None,
) -> None:
    """Say what a mosaic or a recipe would take; do nothing.

    \b
      landloom raster plan --recipe FTW --aoi county.geojson \\
          --start 2024-01-01 --end 2025-01-01
    """
    if recipe is None:
        mosaic(
            aoi,
            start,
            end,
            dataset,
            crs,
            dry_run=True,
            as_json=as_json,
            workers=workers,
            catalog=catalog,
        )
        return
    said = _window(aoi, start, end, crs, skip=False, overviews=False)
    request = request_of(
        "build_and_predict_mosaic_recipe", model_recipe=recipe, dry_run=True, **said
    )
    finish(work(request, settings_of(None, workers, catalog)), as_json=as_json)


def _window(
    aoi: str, start: str, end: str, crs: int | None, *, skip: bool, overviews: bool
) -> dict[str, Any]:
    return {
        "aoi": _absolute([aoi])[0],
        "start": start,
        "end": end,
        "target_crs": crs,
        "on_error": "skip" if skip else "raise",
        "overviews": overviews,
    }


def _over(mosaics: list[str], inference: dict[str, Any], common: dict[str, Any]) -> WorkflowRequest:
    return request_of("predict_mosaic", mosaics=_absolute(mosaics), inference=inference, **common)


def _recipe_inference(name: str, settings: EngineSettings) -> dict[str, Any]:
    """Return how a recipe runs its model, with the file that its name stands for here."""
    recipe = load_catalog(settings.catalog).recipe(name)
    registry = ModelRegistry(settings.models)
    file = resolve_model(recipe.model.href, recipe.model.sha256, registry, recipe.name)
    return {**recipe.inference.model_dump(), "model_path": str(file.path)}


def _absolute(given: list[str]) -> list[str]:
    """Return URIs, with paths made absolute: records must not depend on where one stands."""
    return [uri if "://" in uri else str(Path(uri).expanduser().absolute()) for uri in given]


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"--config is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise InvalidInput("--config is no JSON object.", suggestion='Such as {"stats": true}.')
    return found
