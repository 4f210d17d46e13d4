"""`landloom raster mosaic|vectorize|multiscales|plan`: commands that make something."""

from __future__ import annotations

import json
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
    RecipeName,
    Skip,
    Start,
    Workers,
    absolute,
    settings_of,
    window,
)
from landloom.raster.commands.session import finish, request_of, work

Datasets = Annotated[
    list[str] | None,
    typer.Option("--dataset", help="What to build of; may be repeated, in band order."),
]


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
    said = window(aoi, start, end, crs, skip=skip, overviews=overviews)
    request = request_of(
        "build_mosaics", datasets=dataset, dry_run=dry_run, cache=not fresh, **said
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
        mosaic=absolute([prediction])[0],
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
    (source,) = absolute([store])
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
    said = window(aoi, start, end, crs, skip=False, overviews=False)
    request = request_of(
        "build_and_predict_mosaic_recipe", model_recipe=recipe, dry_run=True, **said
    )
    finish(work(request, settings_of(None, workers, catalog)), as_json=as_json)


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"--config is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise InvalidInput("--config is no JSON object.", suggestion='Such as {"stats": true}.')
    return found
