"""`predict_mosaic_geometries` and its recipes: text prompts answered with geometries."""

from __future__ import annotations

from collections.abc import Sequence

from landloom.raster.methods.work import Work, stores_of
from landloom.raster.store.zarr import CubeStore
from landloom.wire.plan import Plan
from landloom.wire.requests import GeometryInference, PredictGeometries, PredictGeometriesRecipe
from landloom.wire.results import WorkflowResult


def predict(work: Work, request: PredictGeometries) -> WorkflowResult:
    """Ask a model over existing mosaics."""
    if request.dry_run:
        return WorkflowResult(plan=Plan(model=request.inference.model_path))
    return _ask(work, request.inference, stores_of(request.mosaics), request.target_crs)


def predict_recipe(work: Work, request: PredictGeometriesRecipe) -> WorkflowResult:
    """Build the mosaics a geometry recipe wants and ask its model over them."""
    raise NotImplementedError


def _ask(
    work: Work,
    inference: GeometryInference,
    stores: Sequence[str],
    target_crs: int,
    sha256: str | None = None,
    recipe: str | None = None,
) -> WorkflowResult:
    # Only models pay the seconds that torch takes to import.
    from landloom.raster.geometries import predict_geometries  # noqa: PLC0415

    uri, count = predict_geometries(
        [CubeStore.open(store) for store in stores],
        inference,
        work.uri("geometries", ".parquet"),
        models=work.settings.models,
        executor=work.executor,
        report=work.journal.report,
        cancelled=work.cancelled,
        target_crs=target_crs,
        sha256=sha256,
        recipe=recipe,
    )
    work.journal.report("publish", f"{count} geometries at {uri}")
    return WorkflowResult(uri=uri, count=count)
