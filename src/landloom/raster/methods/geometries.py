"""`predict_mosaic_geometries` and its recipes: text prompts answered with geometries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from landloom.raster.aoi import read_aoi
from landloom.raster.methods.keeping import catalogue_of, keep, remembered, rows_of
from landloom.raster.methods.making import geometries_origin, make_geometries
from landloom.raster.methods.mosaics import dry, make_wanted, searching, wanted_mosaics
from landloom.raster.methods.plans import plan_over
from landloom.raster.methods.predictions import check_inputs, used_model
from landloom.raster.methods.work import Work, stores_of
from landloom.raster.plan.effort import patches_of, prediction_effort
from landloom.raster.plan.rates import Effort
from landloom.raster.provenance import InputStore, UsedModel, identify
from landloom.raster.store.zarr import CubeStore
from landloom.wire.requests import GeometryInference, PredictGeometries, PredictGeometriesRecipe
from landloom.wire.results import WorkflowResult

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DEGREES = 4326
"""EPSG code of a recipe's geometries: that of the mosaics is the caller's `target_crs`."""


def predict(work: Work, request: PredictGeometries) -> WorkflowResult:
    """Ask a model over existing mosaics."""
    stores = stores_of(request.mosaics)
    if request.dry_run:
        from landloom.raster.vectorize.project import output_crs  # noqa: PLC0415 - Arrow

        opened = [CubeStore.open(uri) for uri in stores]
        check_inputs(work, request.inference, opened)
        output_crs(request.target_crs)
        bands = len(request.inference.features)
        plan = plan_over(work, opened, "geometries", bands=bands, inference=request.inference)
        return WorkflowResult(plan=plan)
    model = used_model(work, request.inference.model_path, None, None)
    return _ask(work, request.inference, stores, request.target_crs, model)


def predict_recipe(work: Work, request: PredictGeometriesRecipe) -> WorkflowResult:
    """Build the mosaics a geometry recipe wants and ask its model over them."""
    catalog = work.catalog()
    recipe = catalog.geometry_recipe(request.model_recipe)
    inference = recipe.inference(request.text_prompt, request.confidence_threshold)
    datasets = [catalog.dataset(name) for name in recipe.datasets]
    aoi = read_aoi(request.aoi)
    find = searching(request, datasets)
    if request.dry_run:
        return dry(work, request, aoi, find, inference)
    if recipe.name != request.model_recipe.upper():
        work.journal.report(
            "search", f"Recipe {request.model_recipe} is answered by {recipe.name} here"
        )
    model = used_model(work, inference.model_path, recipe.model.sha256, recipe.name)
    wanted = list(wanted_mosaics(work, request, aoi, find))
    foreseen = [InputStore(each.uri, each.origin.digest) for each in wanted]
    # The model first: one that is missing or wrong must be told before hours of mosaicking.
    if remembered(work, geometries_origin(inference, DEGREES, model, foreseen)) is None:
        check_model(work, inference, model)
    inputs = [make_wanted(work, each, recipe) for each in wanted]
    stores = [each.uri for each in inputs]
    made = _ask(work, inference, stores, DEGREES, model, recipe)
    skipped = sum(each.skipped_rasters for each in inputs)
    cached = made.cached and all(each.cached for each in inputs)
    return made.model_copy(
        update={"inputs": rows_of(inputs), "skipped_rasters": skipped, "cached": cached}
    )


def check_model(work: Work, inference: GeometryInference, model: UsedModel) -> None:
    """Hold a model against the way it is to be run."""
    # Only models pay the seconds that torch takes to import.
    from landloom.raster.geometries.prediction import check_geometry_model  # noqa: PLC0415

    check_geometry_model(
        inference, work.settings.models, work.journal.report, model.sha256, model.recipe
    )


def _ask(
    work: Work,
    inference: GeometryInference,
    stores: Sequence[str],
    target_crs: int,
    model: UsedModel,
    recipe: DataclassInstance | None = None,
) -> WorkflowResult:
    origin = geometries_origin(inference, target_crs, model, [identify(uri) for uri in stores])
    uri = work.uri("geometries", ".parquet", origin)
    made = keep(
        work,
        origin,
        uri,
        lambda: make_geometries(work, origin, uri),
        catalogue=catalogue_of([], recipe),
        effort=lambda: _effort(stores, inference),
    )
    return WorkflowResult(uri=made.uri, count=made.count, cached=made.cached)


def _effort(stores: Sequence[str], inference: GeometryInference) -> Effort:
    opened = [CubeStore.open(uri) for uri in stores]
    patches = sum(patches_of(store.geobox, len(store.times), inference) for store in opened)
    return prediction_effort(patches, inference)
