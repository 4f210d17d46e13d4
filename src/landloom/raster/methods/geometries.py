"""`predict_mosaic_geometries` and its recipes: text prompts answered with geometries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from landloom.raster.methods.keeping import catalogue_of, keep
from landloom.raster.methods.making import geometries_origin, make_geometries
from landloom.raster.methods.predictions import used_model
from landloom.raster.methods.work import Work, stores_of
from landloom.raster.provenance import UsedModel, identify
from landloom.wire.plan import Plan
from landloom.wire.requests import GeometryInference, PredictGeometries, PredictGeometriesRecipe
from landloom.wire.results import WorkflowResult

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def predict(work: Work, request: PredictGeometries) -> WorkflowResult:
    """Ask a model over existing mosaics."""
    if request.dry_run:
        return WorkflowResult(plan=Plan(model=request.inference.model_path))
    stores = stores_of(request.mosaics)
    model = used_model(work, request.inference.model_path, None, None)
    return _ask(work, request.inference, stores, request.target_crs, model)


def predict_recipe(work: Work, request: PredictGeometriesRecipe) -> WorkflowResult:
    """Build the mosaics a geometry recipe wants and ask its model over them."""
    raise NotImplementedError


def _ask(
    work: Work,
    inference: GeometryInference,
    stores: Sequence[str],
    target_crs: int,
    model: UsedModel,
    recipe: DataclassInstance | None = None,
) -> WorkflowResult:
    origin = geometries_origin(inference, target_crs, model, [identify(uri) for uri in stores])
    made = keep(
        work,
        origin,
        lambda: make_geometries(work, origin, work.uri("geometries", ".parquet")),
        catalogue=catalogue_of([], recipe),
    )
    return WorkflowResult(uri=made.uri, count=made.count, cached=made.cached)
